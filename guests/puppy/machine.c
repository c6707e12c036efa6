/* The machine as system calls show it: its name, its memory and load, its log, and how it is switched off. */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

static char host_name[65] = "puppy";

long sys_uname(char *out)
{
	char names[6][65] = { "puppy", "", "1.0" };

	strlcpy(names[1], host_name, 65);
	snprintf(names[3], 65, "#1 %s", pv_ops.name);
	strlcpy(names[4], sizeof(ulong) == 8 ? "x86_64" : "i686", 65);
	strlcpy(names[5], "(none)", 65);
	return copy_to_user(out, names, sizeof(names));
}

long sys_sethostname(const char *name, size_t n)
{
	char copy[sizeof(host_name)] = "";

	if (n >= sizeof(copy))
		return -EINVAL;
	if (copy_from_user(copy, name, n))
		return -EFAULT;
	memcpy(host_name, copy, sizeof(copy));
	return 0;
}

struct sysinfo {
	long uptime;
	ulong loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	u16 procs, pad;
	ulong totalhigh, freehigh;
	u32 mem_unit;
	u8 rest[20 - 2 * sizeof(long) - sizeof(u32)];
};

long sys_sysinfo(struct sysinfo *out)
{
	struct sysinfo s = { .uptime = now_ns() / NSEC_PER_SEC, .mem_unit = PAGE_SIZE };

	load_average(s.loads);
	s.totalram = mem_total;
	s.freeram = page_free_count();
	s.procs = task_count();
	return copy_to_user(out, &s, sizeof(s));
}

long sys_syslog(int type, char *buf, int len)
{
	switch (type) {
	case 2: /* read */
	case 3: /* read all */
	case 4: { /* and clear */
		if (len < 0)
			return -EINVAL;
		int n = min(len, log_size()), done = 0;
		char *page = kmalloc(2 * PAGE_SIZE);
		if (!page)
			return -ENOMEM;
		/* At most two pages at once: the newest. */
		done = log_read(page, min(n, 2 * (int)PAGE_SIZE));
		long r = copy_to_user(buf, page, done);
		kfree(page);
		if (type == 4)
			log_clear();
		return r ? r : done;
	}
	case 5:
		log_clear();
		return 0;
	case 6:
	case 7:
		return 0;
	case 8:
		if (len < 1 || len > 8)
			return -EINVAL;
		console_loglevel = len;
		return 0;
	case 9:
	case 10:
		return log_size();
	}
	return -EINVAL;
}

/* POWER_OFF's argument is the exit status that the machine ends with; Linux ignores it. */
long sys_reboot(u32 magic1, u32 magic2, u32 cmd, ulong arg)
{
	if (magic1 != 0xfee1dead ||
	    (magic2 != 672274793 && magic2 != 85072278 && magic2 != 369367448 && magic2 != 537993216))
		return -EINVAL;
	switch (cmd) {
	case 0x4321fedc: /* POWER_OFF */
	case 0xcdef0123: /* HALT */
		filesystems_down();
		pv_ops.power_off("Power down", arg < 256 ? arg : 0);
	case 0x01234567: /* RESTART */
	case 0xa1b2c3d4: /* RESTART2 */
		filesystems_down();
		pv_ops.restart();
	case 0x89abcdef: /* CAD_ON, CAD_OFF */
	case 0:
		return 0;
	}
	return -EINVAL;
}
