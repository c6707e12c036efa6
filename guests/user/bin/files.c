/* ls cat echo wc mkdir rm true false */
#include "applets.h"

struct name {
	struct name *next;
	struct status status;
	char text[];
};

static int wide, all;

static void insert(struct name **list, const char *directory, const char *text)
{
	char path[512];
	struct name *n = malloc(sizeof *n + strlen(text) + 1);
	strcpy(n->text, text);
	memset(&n->status, 0, sizeof n->status);
	snprintf(path, sizeof path, "%s%s%s", directory, *directory ? "/" : "", text);
	lstat(path, &n->status);
	while (*list && strcmp((*list)->text, text) < 0)
		list = &(*list)->next;
	n->next = *list;
	*list = n;
}

static char kind(u32 mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'l';
	case S_IFCHR: return 'c';
	case S_IFIFO: return 'p';
	default: return '-';
	}
}

static void show_wide(const char *directory, const struct name *n)
{
	char path[512], target[256];
	printf("%c", kind(n->status.mode));
	for (int bit = 8; bit >= 0; bit--)
		printf("%c", n->status.mode >> bit & 1 ? "xwr"[bit % 3] : '-');
	printf(" %3u %8llu %s", n->status.links, n->status.size, n->text);
	if ((n->status.mode & S_IFMT) == S_IFLNK) {
		snprintf(path, sizeof path, "%s%s%s", directory, *directory ? "/" : "", n->text);
		long length = readlink(path, target, sizeof target - 1);
		if (length >= 0) {
			target[length] = 0;
			printf(" -> %s", target);
		}
	}
	printf("\n");
}

/* On a terminal in as many columns as fit into 80, read downwards; otherwise one name a line. */
static void show(const char *directory, struct name *list)
{
	char scratch[64];
	int count = 0, widest = 1, columns = 1, rows;
	struct name *n, **table, **p;
	for (n = list; n; n = n->next) {
		int length = strlen(n->text);
		count++;
		if (length > widest)
			widest = length;
	}
	if (!wide && ioctl(1, TCGETS, scratch) >= 0)
		columns = 78 / (widest + 2) > 0 ? 78 / (widest + 2) : 1;
	rows = (count + columns - 1) / columns;
	table = p = malloc((count + 1) * sizeof *table);
	for (n = list; n; n = n->next)
		*p++ = n;
	for (int row = 0; row < rows; row++) {
		for (int i = row; i < count; i += rows)
			if (wide)
				show_wide(directory, table[i]);
			else if (i + rows < count)
				printf("%-*s  ", widest, table[i]->text);
			else
				printf("%s\n", table[i]->text);
	}
	free(table);
	for (; list; list = n) {
		n = list->next;
		free(list);
	}
}

static int list(const char *path, int title)
{
	struct name *names = NULL;
	struct status s;
	char buf[1024];
	long n;
	int error = stat(path, &s);
	if (error < 0)
		error = lstat(path, &s);
	if (error < 0)
		return complain(path, error);
	if ((s.mode & S_IFMT) != S_IFDIR) {
		insert(&names, "", path);
		show("", names);
		return 0;
	}
	int fd = open(path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return complain(path, fd);
	while ((n = getdents64(fd, buf, sizeof buf)) > 0)
		for (long at = 0; at < n;) {
			struct dirent64 *entry = (struct dirent64 *)(buf + at);
			if (entry->name[0] != '.' || all)
				insert(&names, path, entry->name);
			at += entry->reclen;
		}
	close(fd);
	if (n < 0)
		return complain(path, n);
	if (title)
		printf("%s:\n", path);
	show(path, names);
	return 0;
}

int ls_main(int argc, char **argv)
{
	int i = 1, failed = 0;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++)
		for (char *c = argv[i] + 1; *c; c++) {
			if (*c == 'l')
				wide = 1;
			else if (*c == 'a')
				all = 1;
			else if (*c != '1') {
				dprintf(2, "usage: ls [-la] [FILE]...\n");
				return 2;
			}
		}
	if (i == argc)
		return list(".", 0);
	for (int several = argc - i > 1; i < argc; i++)
		failed |= list(argv[i], several);
	return failed;
}

static int copy(int fd, const char *name)
{
	char buf[1024];
	for (;;) {
		long n = read(fd, buf, sizeof buf);
		if (n < 0)
			return complain(name, n);
		if (n == 0)
			return 0;
		puts_bytes(buf, n);
		int error = flush();
		if (error)
			return complain("stdout", error);
	}
}

int cat_main(int argc, char **argv)
{
	int failed = 0;
	if (argc == 1)
		return copy(0, "stdin");
	for (int i = 1; i < argc; i++) {
		int fd = strcmp(argv[i], "-") ? open(argv[i], O_RDONLY, 0) : 0;
		failed |= fd < 0 ? complain(argv[i], fd) : copy(fd, argv[i]);
		if (fd > 0)
			close(fd);
	}
	return failed;
}

int echo_main(int argc, char **argv)
{
	int i = 1, newline = 1;
	if (argc > 1 && !strcmp(argv[1], "-n")) {
		newline = 0;
		i++;
	}
	for (; i < argc; i++)
		printf("%s%s", argv[i], i + 1 < argc ? " " : "");
	if (newline)
		printf("\n");
	int error = flush();
	return error ? complain("stdout", error) : 0;
}

static int count(int fd, const char *name)
{
	char buf[1024];
	ulong lines = 0, words = 0, bytes = 0, inside = 0;
	long n;
	while ((n = read(fd, buf, sizeof buf)) > 0) {
		bytes += n;
		for (long i = 0; i < n; i++) {
			int space = buf[i] == ' ' || (buf[i] >= 9 && buf[i] <= 13);
			lines += buf[i] == '\n';
			words += inside && space;
			inside = !space;
		}
	}
	if (n < 0)
		return complain(name, n);
	printf("%lu %lu %lu%s%s\n", lines, words + inside, bytes, *name ? " " : "", name);
	return 0;
}

int wc_main(int argc, char **argv)
{
	int failed = 0;
	if (argc == 1)
		return count(0, "");
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY, 0);
		failed |= fd < 0 ? complain(argv[i], fd) : count(fd, argv[i]);
		close(fd);
	}
	return failed;
}

int mkdir_main(int argc, char **argv)
{
	int failed = argc < 2;
	for (int i = 1; i < argc; i++) {
		int error = mkdir(argv[i], 0755);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int rm_main(int argc, char **argv)
{
	int failed = argc < 2;
	for (int i = 1; i < argc; i++) {
		int error = unlink(argv[i]);
		if (error == -EISDIR || error == -1 /* EPERM: what some systems say of a directory */)
			error = rmdir(argv[i]);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int true_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	return 0;
}

int false_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	return 1;
}
