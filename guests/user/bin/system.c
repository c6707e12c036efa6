/* ps free uname uptime dmesg kill poweroff sleep time */
#include "applets.h"

/* A whole small file, NUL-terminated; its length, or an error. */
static long slurp(const char *path, char *buf, size_t size)
{
	size_t used = 0;
	int fd = open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	while (used < size - 1) {
		long n = read(fd, buf + used, size - 1 - used);
		if (n <= 0)
			break;
		used += n;
	}
	close(fd);
	buf[used] = 0;
	return used;
}

/* The n-th of the words separated by blanks, from 0. */
static const char *word(const char *s, int n)
{
	while (n-- > 0) {
		while (*s && *s != ' ')
			s++;
		while (*s == ' ')
			s++;
	}
	return s;
}

/* The digits at the start of s. */
static u64 leading(const char *s)
{
	u64 n = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	return n;
}

#define USER_HZ 100 /* the unit of times in /proc */

static void show_process(const char *pid)
{
	char path[64], buf[512];
	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	if (slurp(path, buf, sizeof buf) <= 0)
		return; /* it ended while we looked */
	/* pid (comm) state ppid ...: comm may hold anything, so the last parenthesis ends it. */
	char *comm = strchr(buf, '('), *rest = strrchr(buf, ')');
	if (!comm || !rest || !rest[1])
		return;
	*rest = 0;
	rest += 2;
	u64 ticks = leading(word(rest, 11)) + leading(word(rest, 12));
	printf("%5s %5llu %c %6llu.%02llu %8llu %s\n", pid, leading(word(rest, 1)), rest[0], ticks / USER_HZ,
	       ticks % USER_HZ, leading(word(rest, 7)), comm + 1);
}

int ps_main(int argc, char **argv)
{
	char buf[1024];
	long n;
	int fd = open("/proc", O_RDONLY | O_DIRECTORY, 0);
	(void)argc, (void)argv;
	if (fd < 0)
		return complain("/proc", fd);
	printf("  PID  PPID S      TIME   FAULTS COMMAND\n");
	while ((n = getdents64(fd, buf, sizeof buf)) > 0)
		for (long at = 0; at < n;) {
			struct dirent64 *entry = (struct dirent64 *)(buf + at);
			if (entry->name[0] >= '0' && entry->name[0] <= '9')
				show_process(entry->name);
			at += entry->reclen;
		}
	close(fd);
	return n < 0 ? complain("/proc", n) : 0;
}

static u64 meminfo(const char *buf, const char *key)
{
	size_t length = strlen(key);
	for (; buf && *buf; buf = strchr(buf, '\n')) {
		if (*buf == '\n')
			buf++;
		if (!strncmp(buf, key, length) && buf[length] == ':')
			return leading(word(buf + length, 1));
	}
	return 0;
}

int free_main(int argc, char **argv)
{
	char buf[2048];
	long n = slurp("/proc/meminfo", buf, sizeof buf);
	(void)argc, (void)argv;
	if (n < 0)
		return complain("/proc/meminfo", n);
	u64 total = meminfo(buf, "MemTotal"), unused = meminfo(buf, "MemFree");
	printf("            total       used       free (KiB)\nMem:   %10llu %10llu %10llu\n", total, total - unused, unused);
	return 0;
}

int uname_main(int argc, char **argv)
{
	struct utsname u;
	const char *options = argc > 1 ? argv[1] : "-s";
	int error = uname(&u), first = 1;
	if (error < 0)
		return complain("uname", error);
	const struct {
		char option;
		const char *text;
	} parts[] = {{'s', u.sysname}, {'n', u.nodename}, {'r', u.release}, {'v', u.version}, {'m', u.machine}};
	for (const char *c = options + 1; *c || *options != '-'; c++)
		if (*options != '-' || !strchr("asnrvm", *c)) {
			dprintf(2, "usage: uname [-asnrvm]\n");
			return 1;
		}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strchr(options, 'a') || strchr(options, parts[i].option)) {
			printf("%s%s", first ? "" : " ", parts[i].text);
			first = 0;
		}
	printf("\n");
	return 0;
}

int uptime_main(int argc, char **argv)
{
	char buf[128];
	struct sysinfo info;
	long n = slurp("/proc/uptime", buf, sizeof buf);
	(void)argc, (void)argv;
	if (n < 0)
		return complain("/proc/uptime", n);
	int error = sysinfo(&info);
	if (error < 0)
		return complain("sysinfo", error);
	*strchr(buf, ' ') = 0;
	printf("up %s s, %u processes, load average:", buf, info.procs);
	for (int i = 0; i < 3; i++)
		printf(" %lu.%02lu", info.loads[i] >> 16, ((info.loads[i] & 0xffff) * 100) >> 16);
	printf("\n");
	return 0;
}

#define SYSLOG_READ_ALL 3

int dmesg_main(int argc, char **argv)
{
	static char buf[32768];
	long n = syslog(SYSLOG_READ_ALL, buf, sizeof buf);
	(void)argc, (void)argv;
	if (n < 0)
		return complain("syslog", n);
	/* "<6>" at the start of a line is its level, not for people. */
	for (char *line = buf, *end; line < buf + n; line = end) {
		for (end = line; end < buf + n && *end != '\n'; end++)
			;
		end += end < buf + n;
		if (end - line > 2 && line[0] == '<' && line[2] == '>')
			line += 3;
		puts_bytes(line, end - line);
	}
	return 0;
}

static const struct {
	const char *name;
	int number;
} signals[] = {{"HUP", 1},   {"INT", 2},   {"QUIT", 3},  {"ILL", 4},   {"TRAP", 5},  {"ABRT", 6},  {"FPE", 8},
	       {"KILL", 9},  {"USR1", 10}, {"SEGV", 11}, {"USR2", 12}, {"PIPE", 13}, {"ALRM", 14}, {"TERM", 15},
	       {"CHLD", 17}, {"CONT", 18}, {"STOP", 19}, {"TSTP", 20}};

static int signal_number(const char *s)
{
	if (!strncmp(s, "SIG", 3))
		s += 3;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!strcmp(signals[i].name, s))
			return signals[i].number;
	return number(s, -1);
}

int kill_main(int argc, char **argv)
{
	int sig = SIGTERM, i = 1, failed = 0;
	if (argc > 1 && argv[1][0] == '-') {
		sig = signal_number(argv[1] + 1);
		i++;
	}
	if (i >= argc || sig < 0 || sig > 64) {
		dprintf(2, "usage: kill [-SIGNAL] PID...\n");
		return 2;
	}
	for (; i < argc; i++) {
		long pid = number(argv[i], 0);
		int error = pid == 0 ? -EINVAL : kill(pid, sig);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int poweroff_main(int argc, char **argv)
{
	long status = argc > 1 ? number(argv[1], -1) : 0;
	struct utsname u;
	if (status < 0 || status > 255) {
		dprintf(2, "usage: poweroff [STATUS 0..255]\n");
		return 2;
	}
	/* On the machine that built us, as root, this would mean it. */
	if (uname(&u) < 0 || strcmp(u.sysname, "puppy")) {
		dprintf(2, "poweroff: this is no puppy\n");
		return 1;
	}
	int error = reboot(REBOOT_POWER_OFF, status);
	return complain("reboot", error);
}

int sleep_main(int argc, char **argv)
{
	struct timespec t = {0, 0};
	const char *s = argc > 1 ? argv[1] : "";
	long unit = 100000000;
	t.sec = leading(s);
	while (*s >= '0' && *s <= '9')
		s++;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			t.nsec += (*s - '0') * unit;
	if (argc != 2 || *s) {
		dprintf(2, "usage: sleep SECONDS\n");
		return 2;
	}
	int error = nanosleep(&t);
	return error < 0 ? complain("nanosleep", error) : 0;
}

static u64 now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.sec * 1000000000ull + t.nsec;
}

int time_main(int argc, char **argv)
{
	int status = 0;
	if (argc < 2)
		return bad_usage("COMMAND [ARGUMENT]...");
	u64 start = now();
	int pid = fork();
	if (pid < 0)
		return complain("fork", pid);
	if (pid == 0)
		_exit(become(argv + 1) ? 127 : 0);
	while (wait4(pid, &status, 0) == -EINTR)
		;
	u64 us = (now() - start) / 1000;
	dprintf(2, "real %llu.%06u s\n", us / 1000000, (u32)(us % 1000000));
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}
