#include "user.h"

/* Where formatted bytes go: a buffer that is written out when full (fd >= 0) or cut off (fd < 0). */
struct sink {
	char *buf;
	size_t used, size;
	int fd, error, total;
};

static char stdout_buf[1024];
static struct sink out = {stdout_buf, 0, sizeof stdout_buf, 1, 0, 0};
const char *program = "?";

static void drain(struct sink *s)
{
	size_t done = 0;
	while (done < s->used && !s->error) {
		long n = write(s->fd, s->buf + done, s->used - done);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			s->error = n ? n : -EPIPE;
		else
			done += n;
	}
	s->used = 0;
}

static void put(struct sink *s, char c)
{
	s->total++;
	if (s->used == s->size) {
		if (s->fd < 0)
			return;
		drain(s);
	}
	s->buf[s->used++] = c;
}

static void pad(struct sink *s, int n, char c)
{
	while (n-- > 0)
		put(s, c);
}

static void field(struct sink *s, const char *text, int length, int width, int left, char fill)
{
	if (!left)
		pad(s, width - length, fill);
	for (int i = 0; i < length; i++)
		put(s, text[i]);
	if (left)
		pad(s, width - length, ' ');
}

static int digits(char *end, u64 value, u32 base)
{
	char *p = end;
	do
		*--p = "0123456789abcdef"[value % base];
	while (value /= base);
	return end - p;
}

static void format(struct sink *s, const char *f, va_list args)
{
	for (; *f; f++) {
		if (*f != '%') {
			put(s, *f);
			continue;
		}
		int left = 0, width = 0, longs = 0;
		char fill = ' ', text[24];
		for (f++; *f == '-' || *f == '0'; f++)
			*f == '-' ? (left = 1) : (fill = '0');
		if (*f == '*') {
			width = va_arg(args, int);
			f++;
		}
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + *f - '0';
		for (; *f == 'l' || *f == 'z'; f++)
			longs++;
		if (*f == 's') {
			const char *string = va_arg(args, const char *);
			field(s, string, strlen(string), width, left, ' ');
		} else if (*f == 'c') {
			text[0] = va_arg(args, int);
			field(s, text, 1, width, left, ' ');
		} else if (*f == 'd' || *f == 'u' || *f == 'x') {
			u64 value = longs == 0   ? (*f == 'd' ? (u64)va_arg(args, int) : va_arg(args, u32))
				    : longs == 1 ? (*f == 'd' ? (u64)va_arg(args, long) : va_arg(args, ulong))
						 : va_arg(args, u64);
			int negative = *f == 'd' && (s64)value < 0;
			int n = digits(text + sizeof text, negative ? -value : value, *f == 'x' ? 16 : 10);
			if (negative)
				text[sizeof text - ++n] = '-';
			field(s, text + sizeof text - n, n, width, left, fill);
		} else if (*f) {
			put(s, *f);
		} else {
			return;
		}
	}
}

int flush(void)
{
	int error;
	drain(&out);
	error = out.error;
	out.error = 0;
	return error;
}

int printf(const char *f, ...)
{
	va_list args;
	va_start(args, f);
	format(&out, f, args);
	va_end(args);
	return out.error;
}

int puts_bytes(const char *bytes, size_t n)
{
	while (n--)
		put(&out, *bytes++);
	return out.error;
}

int dprintf(int fd, const char *f, ...)
{
	char buf[256];
	struct sink s = {buf, 0, sizeof buf, fd, 0, 0};
	va_list args;
	va_start(args, f);
	format(&s, f, args);
	va_end(args);
	drain(&s);
	return s.error;
}

int snprintf(char *buf, size_t n, const char *f, ...)
{
	struct sink s = {buf, 0, n - 1, -1, 0, 0};
	va_list args;
	va_start(args, f);
	format(&s, f, args);
	va_end(args);
	buf[s.used] = 0;
	return s.total;
}

int complain(const char *what, int error)
{
	flush();
	dprintf(2, "%s: %s: %s\n", program, what, error_text(error));
	return 1;
}
