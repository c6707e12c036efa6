/* What several applets need. */
#include "applets.h"

int bad_usage(const char *text)
{
	dprintf(2, "usage: %s %s\n", program, text);
	return 2;
}

/* A whole number with k or M behind it. */
s64 size_of(const char *s)
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

int write_all(int fd, const char *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		long n = write(fd, buf + done, size - done);
		if (n < 0)
			return n;
		done += n;
	}
	return 0;
}

/* As the shell looks for programs, but without its PATH: they are all in /bin. */
int become(char **argv)
{
	char path[256];
	if (!strchr(argv[0], '/')) {
		snprintf(path, sizeof path, "/bin/%s", argv[0]);
		argv[0] = path;
	}
	return complain(argv[0], execve(argv[0], argv, environ));
}
