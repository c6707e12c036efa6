/* cp mv ln */
#include "applets.h"

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
		int error = write_all(out, buf, n);
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
		return bad_usage("[-r] FILE... DESTINATION");
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
		return bad_usage("FILE... DESTINATION");
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
		return bad_usage("[-s] TARGET NAME");
	destination(path, sizeof path, argv[i], argv[i + 1]);
	int error = symbolic ? symlink(argv[i], path) : link(argv[i], path);
	return error < 0 ? complain(path, error) : 0;
}
