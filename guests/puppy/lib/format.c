/* printf's formatting: %d %i %u %x %p %s %c %%, with l, ll, z, width, 0, - and a precision for strings. */
#include "string.h"

struct out {
	char *buf;
	size_t size, n;
};

static void put(struct out *o, char c)
{
	if (o->n + 1 < o->size)
		o->buf[o->n] = c;
	o->n++;
}

static void put_padded(struct out *o, const char *s, int len, int width, bool left, char pad)
{
	if (!left)
		for (int i = len; i < width; i++)
			put(o, pad);
	for (int i = 0; i < len; i++)
		put(o, s[i]);
	if (left)
		for (int i = len; i < width; i++)
			put(o, ' ');
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct out o = { buf, size, 0 };

	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(&o, *fmt);
			continue;
		}
		bool left = false, zero = false;
		int width = 0, precision = -1, longs = 0;
		for (fmt++;; fmt++) {
			if (*fmt == '-')
				left = true;
			else if (*fmt == '0')
				zero = true;
			else
				break;
		}
		if (*fmt == '*') {
			width = va_arg(ap, int);
			fmt++;
		} else {
			width = parse_number(fmt, &fmt);
		}
		if (*fmt == '.') {
			if (fmt[1] == '*') {
				precision = va_arg(ap, int);
				fmt += 2;
			} else {
				precision = parse_number(fmt + 1, &fmt);
			}
		}
		for (;; fmt++) {
			if (*fmt == 'l')
				longs++;
			else if (*fmt == 'z')
				longs = 1;
			else
				break;
		}
		char digits[24];
		int i = sizeof(digits);
		switch (*fmt) {
		case 'c':
			digits[0] = va_arg(ap, int);
			put_padded(&o, digits, 1, width, left, ' ');
			break;
		case 's': {
			const char *s = va_arg(ap, const char *);
			int len = 0;
			if (!s)
				s = "(null)";
			while (s[len] && (precision < 0 || len < precision))
				len++;
			put_padded(&o, s, len, width, left, ' ');
			break;
		}
		case 'd':
		case 'i':
		case 'u':
		case 'x':
		case 'p': {
			bool negative = false;
			u64 v;
			u32 base = *fmt == 'x' || *fmt == 'p' ? 16 : 10;
			if (*fmt == 'p') {
				v = (ulong)va_arg(ap, void *);
				zero = true;
				width = 2 * sizeof(void *);
			} else if (*fmt == 'd' || *fmt == 'i') {
				s64 s = longs > 1 ? va_arg(ap, s64) : longs ? va_arg(ap, long) : va_arg(ap, int);
				negative = s < 0;
				v = negative ? -(u64)s : (u64)s;
			} else {
				v = longs > 1 ? va_arg(ap, u64) : longs ? va_arg(ap, ulong) : va_arg(ap, u32);
			}
			do {
				digits[--i] = "0123456789abcdef"[v % base];
				v /= base;
			} while (v);
			if (negative && zero && !left) {
				put(&o, '-');
				width--;
			} else if (negative) {
				digits[--i] = '-';
			}
			put_padded(&o, digits + i, sizeof(digits) - i, width, left, zero ? '0' : ' ');
			break;
		}
		case 0:
			fmt--;
			break;
		default:
			put(&o, *fmt);
		}
	}
	if (size)
		buf[min(o.n, size - 1)] = 0;
	return o.n;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
