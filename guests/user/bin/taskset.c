/* taskset nproc */
#include "../lib/cpu.h"
#include "applets.h"

static int usage(void)
{
	dprintf(2, "usage: taskset MASK COMMAND [ARGUMENT]... | taskset -p [MASK] PID    (MASK: hexadecimal)\n");
	return 2;
}

/* 0: not a mask. */
static ulong mask_of(const char *s)
{
	ulong mask = 0;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	for (; *s; s++) {
		char c = *s | 0x20;
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (digit < 0 || mask >> (sizeof mask * 8 - 4))
			return 0;
		mask = mask << 4 | digit;
	}
	return mask;
}

int taskset_main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "-p")) {
		int pid = number(argv[argc - 1], -1);
		ulong mask = argc == 4 ? mask_of(argv[2]) : 1, now = pid > 0 ? affinity(pid) : 0;
		if (argc > 4 || pid <= 0 || !mask)
			return usage();
		if (!now)
			return complain(argv[argc - 1], -ESRCH);
		if (argc == 4) {
			int error = set_affinity(pid, mask);
			return error < 0 ? complain(argv[2], error) : 0;
		}
		printf("pid %d's affinity mask: %x\n", pid, (u32)now);
		return 0;
	}
	ulong mask = argc >= 3 ? mask_of(argv[1]) : 0;
	if (!mask)
		return usage();
	int error = set_affinity(0, mask);
	return error < 0 ? complain(argv[1], error) : become(argv + 2);
}

int nproc_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	int n = 0;
	for (ulong mask = affinity(0); mask; mask &= mask - 1)
		n++;
	printf("%d\n", n);
	return 0;
}
