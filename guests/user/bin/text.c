/* head tail grep seq yes tee: lines. grep looks for text, not for a pattern. */
#include "applets.h"

/* Lines of a file, however long, without their newlines. */
struct lines {
	int fd;
	long have, at; /* bytes in buf, and how many of them have been handed out */
	char *line;
	size_t room;
	char buf[1024];
};

static struct lines *lines_open(const char *name)
{
	struct lines *l = malloc(sizeof *l);
	memset(l, 0, sizeof *l);
	l->fd = strcmp(name, "-") ? open(name, O_RDONLY, 0) : 0;
	if (l->fd >= 0)
		return l;
	complain(name, l->fd);
	free(l);
	return NULL;
}

static void lines_close(struct lines *l)
{
	if (l->fd > 0)
		close(l->fd);
	free(l->line);
	free(l);
}

/* The next one, until the next call; NULL: no more. */
static char *next_line(struct lines *l)
{
	size_t n = 0;
	for (;;) {
		if (l->at == l->have) {
			l->at = 0;
			l->have = read(l->fd, l->buf, sizeof l->buf);
			if (l->have <= 0) {
				l->have = 0;
				if (!n)
					return NULL;
				break;
			}
		}
		if (n + 2 > l->room) {
			char *bigger = malloc(l->room = l->room * 2 + 128);
			memcpy(bigger, l->line, n);
			free(l->line);
			l->line = bigger;
		}
		char c = l->buf[l->at++];
		if (c == '\n')
			break;
		l->line[n++] = c;
	}
	if (!l->line)
		l->line = malloc(l->room = 128);
	l->line[n] = 0;
	return l->line;
}

/* Calls fn for each file named from argv[i] on, or for the standard input. */
static int each_file(int argc, char **argv, int i, int (*fn)(struct lines *l, const char *name, const void *arg), const void *arg)
{
	int result = 0, several = argc - i > 1;
	do {
		struct lines *l = lines_open(i < argc ? argv[i] : "-");
		result |= l ? fn(l, several ? argv[i] : NULL, arg) : 2;
		if (l)
			lines_close(l);
	} while (++i < argc);
	int error = flush();
	return error ? complain("stdout", error) : result;
}

/* -n COUNT, or -COUNT; 10 if neither. Where the files begin in *i; -1: it is neither. */
static long count_option(int argc, char **argv, int *i)
{
	*i = 1;
	if (argc < 2 || argv[1][0] != '-' || !argv[1][1])
		return 10;
	int separate = !strcmp(argv[1], "-n") && argc > 2;
	*i += 1 + separate;
	return number(separate ? argv[2] : argv[1] + 1, -1);
}

static int head(struct lines *l, const char *name, const void *arg)
{
	char *line;
	(void)name;
	for (long left = *(const long *)arg; left > 0 && (line = next_line(l)); left--)
		printf("%s\n", line);
	return 0;
}

int head_main(int argc, char **argv)
{
	int i;
	long n = count_option(argc, argv, &i);
	return n < 0 ? bad_usage("[-n COUNT] [FILE]...") : each_file(argc, argv, i, head, &n);
}

static int tail(struct lines *l, const char *name, const void *arg)
{
	long n = *(const long *)arg, seen = 0;
	char **last = malloc((n + 1) * sizeof *last), *line;
	(void)name;
	for (; (line = next_line(l)); seen++)
		if (n) {
			if (seen >= n)
				free(last[seen % n]);
			last[seen % n] = strdup(line);
		}
	for (long k = seen > n ? seen - n : 0; k < seen; k++)
		if (n) {
			printf("%s\n", last[k % n]);
			free(last[k % n]);
		}
	free(last);
	return 0;
}

int tail_main(int argc, char **argv)
{
	int i;
	long n = count_option(argc, argv, &i);
	return n < 0 || n > 100000 ? bad_usage("[-n COUNT] [FILE]...") : each_file(argc, argv, i, tail, &n);
}

struct search {
	const char *text;
	int count, invert, quiet, numbers;
	int *found;
};

static int contains(const char *line, const char *text)
{
	size_t n = strlen(text);
	for (; *line; line++)
		if (!strncmp(line, text, n))
			return 1;
	return !n;
}

static int grep(struct lines *l, const char *name, const void *arg)
{
	const struct search *s = arg;
	ulong found = 0, at = 0;
	char *line;
	while ((line = next_line(l))) {
		at++;
		if (contains(line, s->text) == s->invert)
			continue;
		found++;
		if (s->count || s->quiet)
			continue;
		if (name)
			printf("%s:", name);
		if (s->numbers)
			printf("%lu:", at);
		printf("%s\n", line);
	}
	if (s->count && name)
		printf("%s:", name);
	if (s->count)
		printf("%lu\n", found);
	*s->found |= found > 0;
	return 0;
}

int grep_main(int argc, char **argv)
{
	int i = 1, found = 0;
	struct search s = {.found = &found};
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++)
		for (const char *c = argv[i] + 1; *c; c++) {
			int *flag = *c == 'c' ? &s.count : *c == 'v' ? &s.invert : *c == 'q' ? &s.quiet : *c == 'n' ? &s.numbers : NULL;
			if (!flag && *c != 'F')
				return bad_usage("[-cnqv] TEXT [FILE]...");
			if (flag)
				*flag = 1;
		}
	if (i == argc)
		return bad_usage("[-cnqv] TEXT [FILE]...");
	s.text = argv[i];
	int failed = each_file(argc, argv, i + 1, grep, &s);
	return failed ? 2 : !found;
}

int seq_main(int argc, char **argv)
{
	long v[3] = {1, 1, 0}; /* first, step, last */
	for (int i = 1; i < argc; i++)
		if (argc > 4 || number(argv[i], -1) != number(argv[i], -2))
			return bad_usage("[FIRST [STEP]] LAST");
	if (argc < 2 || argc > 4)
		return bad_usage("[FIRST [STEP]] LAST");
	v[2] = number(argv[argc - 1], 0);
	v[0] = argc > 2 ? number(argv[1], 0) : 1;
	v[1] = argc > 3 ? number(argv[2], 0) : 1;
	if (!v[1])
		return bad_usage("[FIRST [STEP]] LAST");
	for (long n = v[0]; v[1] > 0 ? n <= v[2] : n >= v[2]; n += v[1])
		printf("%ld\n", n);
	int error = flush();
	return error ? complain("stdout", error) : 0;
}

/* Until nobody listens any more. */
int yes_main(int argc, char **argv)
{
	for (;;) {
		printf("%s\n", argc > 1 ? argv[1] : "y");
		if (flush())
			return 1;
	}
}

int tee_main(int argc, char **argv)
{
	char buf[1024];
	int out = argc > 1 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1, error = 0;
	long n;
	if (argc > 2)
		return bad_usage("[FILE]");
	if (argc > 1 && out < 0)
		return complain(argv[1], out);
	while (!error && (n = read(0, buf, sizeof buf)) > 0) {
		error = write_all(1, buf, n);
		if (!error && out >= 0)
			error = write_all(out, buf, n);
	}
	return error ? complain("write", error) : n < 0 ? complain("stdin", n) : 0;
}
