/* dd */
#include "applets.h"

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
		error = write_all(out, buf, n);
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
			return bad_usage("[if=FILE] [of=FILE] [bs=SIZE] [count=N] [skip=N] [seek=N] [conv=fsync,notrunc]");
	if (d.from && (in = open(d.from, O_RDONLY, 0)) < 0)
		return complain(d.from, in);
	if (d.to && (out = open(d.to, O_WRONLY | O_CREAT | (d.seek || d.keep ? 0 : O_TRUNC), 0644)) < 0)
		return complain(d.to, out);
	int failed = dd_copy(&d, in, out);
	int error = d.to ? close(out) : 0;
	return failed || error < 0;
}
