/* The C library's string functions; gcc emits calls to the first four on its own. */
#include "string.h"

void *memset(void *d, int c, size_t n)
{
	void *p = d;
	ulong word = (u8)c * (~0ul / 255);
	size_t words = n / sizeof(word), rest = n % sizeof(word);

	__asm__ volatile(
#ifdef __x86_64__
		"rep stosq"
#else
		"rep stosl"
#endif
		: "+D"(p), "+c"(words) : "a"(word) : "memory");
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(rest) : "a"(c) : "memory");
	return d;
}

void *memcpy(void *d, const void *s, size_t n)
{
	void *p = d;
	size_t words = n / sizeof(ulong), rest = n % sizeof(ulong);

	__asm__ volatile(
#ifdef __x86_64__
		"rep movsq"
#else
		"rep movsl"
#endif
		: "+D"(p), "+S"(s), "+c"(words)::"memory");
	__asm__ volatile("rep movsb" : "+D"(p), "+S"(s), "+c"(rest)::"memory");
	return d;
}

void *memmove(void *d, const void *s, size_t n)
{
	if ((ulong)d - (ulong)s >= n)
		return memcpy(d, s, n);
	for (u8 *to = d + n, *end = d; to > end;) {
		to--;
		*to = *((const u8 *)s + (to - end));
	}
	return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if (*a != *b || !*a)
			return (u8)*a - (u8)*b;
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

char *strstr(const char *s, const char *what)
{
	size_t n = strlen(what);

	for (; *s; s++)
		if (!strncmp(s, what, n))
			return (char *)s;
	return NULL;
}

void strlcpy(char *d, const char *s, size_t size)
{
	size_t n = min(strlen(s), size - 1);

	memcpy(d, s, n);
	d[n] = 0;
}

ulong parse_number(const char *s, const char **end)
{
	ulong v = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (*s - '0');
	if (end)
		*end = s;
	return v;
}
