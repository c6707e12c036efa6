#include "user.h"

void *memcpy(void *to, const void *from, size_t n)
{
	void *result = to;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return result;
}

void *memmove(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;
	if (d <= s)
		return memcpy(to, from, n);
	while (n--)
		d[n] = s[n];
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	void *result = to;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
	return result;
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
	const char *end = s;
	while (*end)
		end++;
	return end - s;
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
	for (; *s != (char)c; s++)
		if (!*s)
			return NULL;
	return (char *)s;
}

char *strrchr(const char *s, int c)
{
	const char *last = NULL;
	do {
		if (*s == (char)c)
			last = s;
	} while (*s++);
	return (char *)last;
}

char *strcpy(char *to, const char *from)
{
	memcpy(to, from, strlen(from) + 1);
	return to;
}

long number(const char *s, long otherwise)
{
	int negative = *s == '-';
	long n = 0;
	s += negative;
	if (!*s)
		return otherwise;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || n > 200000000)
			return otherwise;
		n = n * 10 + (*s - '0');
	}
	return negative ? -n : n;
}

const char *error_text(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{ENOENT, "No such file or directory"}, {ESRCH, "No such process"}, {EINTR, "Interrupted system call"},
		{E2BIG, "Argument list too long"}, {ENOEXEC, "Exec format error"}, {EBADF, "Bad file descriptor"},
		{ECHILD, "No child processes"}, {EAGAIN, "Resource temporarily unavailable"},
		{ENOMEM, "Cannot allocate memory"}, {EACCES, "Permission denied"}, {EEXIST, "File exists"},
		{ENOTDIR, "Not a directory"}, {EISDIR, "Is a directory"}, {EINVAL, "Invalid argument"},
		{ENOTTY, "Inappropriate ioctl for device"}, {EPIPE, "Broken pipe"}, {ENOSYS, "Function not implemented"},
		{EDESTADDRREQ, "Destination address required"}, {EMSGSIZE, "Message too long"},
		{EADDRINUSE, "Address already in use"}, {EADDRNOTAVAIL, "Cannot assign requested address"},
		{ENETUNREACH, "Network is unreachable"}, {ENOBUFS, "No buffer space available"},
		{ECONNREFUSED, "Connection refused"}, {EHOSTUNREACH, "No route to host"}, {ENODEV, "No such device"},
		{EIO, "Input/output error"}, {EBUSY, "Device or resource busy"}, {EXDEV, "Invalid cross-device link"},
		{ENOSPC, "No space left on device"}, {EROFS, "Read-only file system"}, {ENOTEMPTY, "Directory not empty"},
	};
	static char other[24];
	if (error < 0)
		error = -error;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].error == error)
			return texts[i].text;
	snprintf(other, sizeof other, "Error %d", error);
	return other;
}

#ifndef __x86_64__
/* What gcc calls for 64-bit division on a 32-bit processor; ours, so that no libgcc is needed. */
u64 __udivmoddi4(u64 n, u64 d, u64 *rest)
{
	u64 quotient = 0, remainder = 0;
	for (int bit = 63; bit >= 0; bit--) {
		remainder = remainder << 1 | (n >> bit & 1);
		if (remainder >= d) {
			remainder -= d;
			quotient |= 1ull << bit;
		}
	}
	if (rest)
		*rest = remainder;
	return quotient;
}

u64 __udivdi3(u64 n, u64 d) { return __udivmoddi4(n, d, NULL); }

u64 __umoddi3(u64 n, u64 d)
{
	u64 rest;
	__udivmoddi4(n, d, &rest);
	return rest;
}
#endif
