/* mount umount sync fsync df dd cp mv ln rmdir chmod truncate */
#include "applets.h"

static int usage(const char *text)
{
	dprintf(2, "usage: %s %s\n", program, text);
	return 2;
}

/* A whole number with k or M behind it. */
static s64 size_of(const char *s)
{
	s64 n = 0;
	if (!*s)
		return -1;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	if (*s == 'k' || *s == 'K')
		n <<= 10, s++;
	else if (*s == 'M')
		n <<= 20, s++;
	return *s ? -1 : n;
}

static int show_mounts(void)
{
	char *const argv[] = {"cat", "/proc/mounts", NULL};
	return cat_main(2, (char **)argv);
}

int mount_main(int argc, char **argv)
{
	ulong flags = 0;
	const char *type = "ext2";
	int i = 1;
	if (argc == 1)
		return show_mounts();
	for (; i + 1 < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-t")) {
			type = argv[++i];
			continue;
		}
		if (!strcmp(argv[i], "-r")) {
			flags |= MS_RDONLY;
			continue;
		}
		if (strcmp(argv[i], "-o"))
			break;
		const char *option = argv[++i];
		for (const char *next; *option; option = next) {
			size_t n = 0;
			while (option[n] && option[n] != ',')
				n++;
			next = option + n + (option[n] == ',');
			if (n == 2 && !strncmp(option, "ro", 2))
				flags |= MS_RDONLY;
			else if (n == 7 && !strncmp(option, "remount", 7))
				flags |= MS_REMOUNT;
			else if (!(n == 2 && !strncmp(option, "rw", 2)))
				return usage("[-t ext2] [-r] [-o ro,rw,remount] DEVICE DIRECTORY");
		}
	}
	if (argc - i != 2)
		return usage("[-t ext2] [-r] [-o ro,rw,remount] DEVICE DIRECTORY");
	int error = mount(argv[i], argv[i + 1], type, flags);
	return error < 0 ? complain(argv[i], error) : 0;
}

int umount_main(int argc, char **argv)
{
	int failed = 0;
	if (argc < 2)
		return usage("DIRECTORY...");
	for (int i = 1; i < argc; i++) {
		int error = umount(argv[i]);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int sync_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	return sync() < 0;
}

int fsync_main(int argc, char **argv)
{
	int failed = 0;
	if (argc < 2)
		return usage("FILE...");
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY, 0), error = fd < 0 ? fd : fsync(fd);
		if (error < 0)
			failed |= complain(argv[i], error);
		if (fd >= 0)
			close(fd);
	}
	return failed;
}

int df_main(int argc, char **argv)
{
	int failed = 0;
	struct usage u;
	if (argc < 2)
		return usage("DIRECTORY...");
	printf("%12s %12s %12s %10s %10s\n", "KiB", "used", "free", "inodes", "free");
	for (int i = 1; i < argc; i++) {
		int error = statfs(argv[i], &u);
		if (error < 0) {
			failed |= complain(argv[i], error);
			continue;
		}
		printf("%12llu %12llu %12llu %10llu %10llu %s\n", u.blocks * u.block_size / 1024,
		       (u.blocks - u.blocks_free) * u.block_size / 1024, u.blocks_free * u.block_size / 1024, u.inodes,
		       u.inodes_free, argv[i]);
	}
	return failed;
}

/* ---- dd ---- */

struct dd {
	const char *from, *to;
	s64 size, count, skip, seek;
	int sync, keep;
};

static int dd_operand(struct dd *d, const char *word)
{
	const char *value = strchr(word, '=');
	size_t n = value ? value - word : 0;
	if (!value)
		return 0;
	value++;
	const struct {
		const char *name;
		s64 *number;
		const char **text;
	} operands[] = {{"if", NULL, &d->from},   {"of", NULL, &d->to},      {"bs", &d->size, NULL},
			{"count", &d->count, NULL}, {"skip", &d->skip, NULL}, {"seek", &d->seek, NULL}};
	for (size_t i = 0; i < ARRAY_SIZE(operands); i++) {
		if (strlen(operands[i].name) != n || strncmp(operands[i].name, word, n))
			continue;
		if (operands[i].text)
			*operands[i].text = value;
		else
			*operands[i].number = size_of(value);
		return operands[i].text || *operands[i].number >= 0;
	}
	if (!strncmp(word, "conv=", 5)) {
		d->sync = !strcmp(value, "fsync") || !strcmp(value, "fsync,notrunc") || !strcmp(value, "notrunc,fsync");
		d->keep = strcmp(value, "fsync") != 0;
		return d->sync || !strcmp(value, "notrunc");
	}
	return 0;
}

/* A whole block, as far as there is one: a pipe gives it in pieces. */
static long read_block(int fd, char *buf, size_t size)
{
	size_t have = 0;
	while (have < size) {
		long n = read(fd, buf + have, size - have);
		if (n < 0)
			return have ? (long)have : n;
		if (n == 0)
			break;
		have += n;
	}
	return have;
}

static int write_block(int fd, const char *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		long n = write(fd, buf + done, size - done);
		if (n < 0)
			return n;
		done += n;
	}
	return 0;
}

static int dd_copy(const struct dd *d, int in, int out)
{
	char *buf = malloc(d->size);
	s64 blocks = 0, bytes = 0;
	int error = 0;
	const char *what = d->from ? d->from : "stdin";
	if (d->skip && lseek(in, d->skip * d->size, 0) < 0)
		for (s64 i = 0; i < d->skip && read_block(in, buf, d->size) > 0; i++)
			;
	if (d->seek) {
		s64 at = lseek(out, d->seek * d->size, 0);
		error = at < 0 ? (int)at : 0;
	}
	while (!error && (d->count < 0 || blocks < d->count)) {
		long n = read_block(in, buf, d->size);
		error = n < 0 ? n : 0;
		if (n <= 0)
			break;
		what = d->to ? d->to : "stdout";
		error = write_block(out, buf, n);
		blocks++;
		bytes += error ? 0 : n;
		if (!error)
			what = d->from ? d->from : "stdin";
	}
	if (!error && d->sync) {
		what = d->to ? d->to : "stdout";
		error = fsync(out);
	}
	free(buf);
	if (error)
		complain(what, error);
	dprintf(2, "%llu bytes\n", (u64)bytes);
	return error != 0;
}

int dd_main(int argc, char **argv)
{
	struct dd d = {NULL, NULL, 512, -1, 0, 0, 0, 0};
	int in = 0, out = 1;
	for (int i = 1; i < argc; i++)
		if (!dd_operand(&d, argv[i]) || d.size < 1 || d.size > 1 << 20)
			return usage("[if=FILE] [of=FILE] [bs=SIZE] [count=N] [skip=N] [seek=N] [conv=fsync,notrunc]");
	if (d.from && (in = open(d.from, O_RDONLY, 0)) < 0)
		return complain(d.from, in);
	if (d.to && (out = open(d.to, O_WRONLY | O_CREAT | (d.seek || d.keep ? 0 : O_TRUNC), 0644)) < 0)
		return complain(d.to, out);
	int failed = dd_copy(&d, in, out);
	int error = d.to ? close(out) : 0;
	return failed || error < 0;
}

/* ---- cp mv ln ---- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static int is_directory(const char *path)
{
	struct status s;
	return stat(path, &s) >= 0 && (s.mode & S_IFMT) == S_IFDIR;
}

/* Where FILE goes: into DIRECTORY, or to that very name. */
static void destination(char *path, size_t n, const char *from, const char *to)
{
	if (is_directory(to))
		snprintf(path, n, "%s/%s", to, last_part(from));
	else
		snprintf(path, n, "%s", to);
}

static int copy_file(const char *from, const char *to, u32 mode)
{
	static char buf[16384];
	int in = open(from, O_RDONLY, 0), failed = 0;
	if (in < 0)
		return complain(from, in);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode & 07777);
	if (out < 0) {
		close(in);
		return complain(to, out);
	}
	for (;;) {
		long n = read(in, buf, sizeof buf);
		if (n < 0)
			failed = complain(from, n);
		if (n <= 0)
			break;
		int error = write_block(out, buf, n);
		if (error) {
			failed = complain(to, error);
			break;
		}
	}
	close(in);
	int error = close(out);
	return error < 0 ? complain(to, error) : failed;
}

static int copy_any(const char *from, const char *to, int deep);

static int copy_directory(const char *from, const char *to, u32 mode)
{
	char buf[1024], source[256], target[256];
	int failed = 0, error = mkdir(to, mode & 07777);
	long n;
	if (error < 0 && error != -EEXIST)
		return complain(to, error);
	int fd = open(from, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return complain(from, fd);
	while ((n = getdents64(fd, buf, sizeof buf)) > 0)
		for (long at = 0; at < n;) {
			struct dirent64 *entry = (struct dirent64 *)(buf + at);
			at += entry->reclen;
			if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
				continue;
			snprintf(source, sizeof source, "%s/%s", from, entry->name);
			snprintf(target, sizeof target, "%s/%s", to, entry->name);
			failed |= copy_any(source, target, 1);
		}
	close(fd);
	return n < 0 ? complain(from, n) : failed;
}

static int copy_any(const char *from, const char *to, int deep)
{
	struct status s;
	char target[256];
	int error = deep ? lstat(from, &s) : stat(from, &s);
	if (error < 0)
		return complain(from, error);
	switch (s.mode & S_IFMT) {
	case S_IFDIR:
		return deep ? copy_directory(from, to, s.mode) : complain(from, -EISDIR);
	case S_IFLNK: {
		long n = readlink(from, target, sizeof target - 1);
		if (n < 0)
			return complain(from, n);
		target[n] = 0;
		error = symlink(target, to);
		return error < 0 ? complain(to, error) : 0;
	}
	default:
		return copy_file(from, to, s.mode);
	}
}

int cp_main(int argc, char **argv)
{
	char path[256];
	int i = 1, deep = 0, failed = 0;
	if (argc > 1 && !strcmp(argv[1], "-r"))
		deep = 1, i++;
	if (argc - i < 2)
		return usage("[-r] FILE... DESTINATION");
	for (; i < argc - 1; i++) {
		destination(path, sizeof path, argv[i], argv[argc - 1]);
		failed |= copy_any(argv[i], path, deep);
	}
	return failed;
}

int mv_main(int argc, char **argv)
{
	char path[256];
	int failed = 0;
	if (argc < 3)
		return usage("FILE... DESTINATION");
	for (int i = 1; i < argc - 1; i++) {
		destination(path, sizeof path, argv[i], argv[argc - 1]);
		int error = rename(argv[i], path);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int ln_main(int argc, char **argv)
{
	char path[256];
	int i = 1, symbolic = 0;
	if (argc > 1 && !strcmp(argv[1], "-s"))
		symbolic = 1, i++;
	if (argc - i != 2)
		return usage("[-s] TARGET NAME");
	destination(path, sizeof path, argv[i], argv[i + 1]);
	int error = symbolic ? symlink(argv[i], path) : link(argv[i], path);
	return error < 0 ? complain(path, error) : 0;
}

int rmdir_main(int argc, char **argv)
{
	int failed = 0;
	if (argc < 2)
		return usage("DIRECTORY...");
	for (int i = 1; i < argc; i++) {
		int error = rmdir(argv[i]);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int chmod_main(int argc, char **argv)
{
	int mode = 0, failed = 0;
	if (argc < 3)
		return usage("OCTAL FILE...");
	for (const char *c = argv[1]; *c; c++) {
		if (*c < '0' || *c > '7')
			return usage("OCTAL FILE...");
		mode = mode * 8 + (*c - '0');
	}
	for (int i = 2; i < argc; i++) {
		int error = chmod(argv[i], mode);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int truncate_main(int argc, char **argv)
{
	s64 size = argc == 3 ? size_of(argv[1]) : -1;
	if (size < 0)
		return usage("SIZE FILE");
	int fd = open(argv[2], O_WRONLY | O_CREAT, 0644);
	if (fd < 0)
		return complain(argv[2], fd);
	close(fd);
	int error = truncate(argv[2], size);
	return error < 0 ? complain(argv[2], error) : 0;
}
