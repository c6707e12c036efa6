/*
 * From the first C function to the first process. What the boot loader told us lies in boot_params, in memory that we
 * are about to manage, so it is copied first.
 */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"
#include "random.h"
#include "serial.h"

extern ulong boot_params_pa;
void pci_init(void);
bool virtio_console_init(void);
void virtio_rng_init(void);
void net_init(void);
void virtio_blk_init(void);
void flush_init(void);
void init_process(void);

struct boot_info boot;

/* The first 4 MiB are mapped at KERNEL_OFFSET on both architectures; boot loaders put boot_params below that. */
static const void *early_va(ulong pa) { return (const void *)(pa + (ulong)KERNEL_OFFSET); }
static u32 field(const u8 *bp, u32 offset)
{
	u32 v;
	memcpy(&v, bp + offset, 4);
	return v;
}

static void read_boot_params(void)
{
	const u8 *bp = early_va(boot_params_pa);
	const u8 *entry = bp + BP_E820_TABLE;
	ulong cmdline = field(bp, BP_CMD_LINE_PTR);

	boot.subarch = field(bp, BP_SUBARCH);
	boot.design = (u64)field(bp, BP_SUBARCH_DATA + 4) << 32 | field(bp, BP_SUBARCH_DATA);
	boot.initrd_start = field(bp, BP_RAMDISK_IMAGE);
	boot.initrd_size = field(bp, BP_RAMDISK_SIZE);
	if (cmdline && cmdline < 4 * MiB - sizeof(boot.cmdline))
		strlcpy(boot.cmdline, early_va(cmdline), sizeof(boot.cmdline));
	boot.e820_entries = min((u32)bp[BP_E820_ENTRIES], (u32)ARRAY_SIZE(boot.e820));
	for (int i = 0; i < boot.e820_entries; i++, entry += 20) {
		memcpy(&boot.e820[i].addr, entry, 8);
		memcpy(&boot.e820[i].size, entry + 8, 8);
		boot.e820[i].type = field(entry, 16);
	}
}

const char *boot_param(const char *name)
{
	static char value[128];
	size_t n = strlen(name);
	bool bare = name[n - 1] != '=';

	for (const char *p = boot.cmdline; *p;) {
		while (*p == ' ')
			p++;
		const char *end = p;
		while (*end && *end != ' ')
			end++;
		if ((size_t)(end - p) >= n && !strncmp(p, name, n) && (!bare || (size_t)(end - p) == n)) {
			size_t k = min((size_t)(end - p) - n, sizeof(value) - 1);
			memcpy(value, p + n, k);
			value[k] = 0;
			return value;
		}
		p = end;
	}
	return NULL;
}

__attribute__((used, noreturn)) void start_kernel(void)
{
	read_boot_params();
	pv_select(boot.subarch, boot.design);
	pv_ops.init_cpu(&cpu0_area);
	const char *level = boot_param("loglevel=");
	bool debug = boot_param("debug") != NULL;
	if (debug || level)
		console_loglevel = debug ? 8 : (int)parse_number(level, NULL);
#ifdef __x86_64__
	printk(LOG_NOTICE, "puppy on x86_64, %s\n", pv_ops.name);
#else
	printk(LOG_NOTICE, "puppy on i386, %s\n", pv_ops.name);
#endif
	pr_info("command line: %s\n", boot.cmdline);
	pv_patch();
	kernel_map_init();
	page_init();
	sched_init();
	trap_init();
	time_init();
	fs_init();
	devices_init();
	procfs_init();
	pci_init();
	if (!virtio_console_init()) {
		if (pv_ops.has_ports)
			serial_init();
		else
			pr_warn("no console\n");
	}
	random_init();
	virtio_rng_init();
	net_init();
	virtio_blk_init();
	if (boot.initrd_size)
		cpio_unpack(boot.initrd_start, boot.initrd_size);
	/* Waiting for them takes a running clock. */
	irq_enable();
	smp_init();
	/* The banner is out; from now on the console is the users', and the kernel speaks up only when it must. */
	if (!debug && !level)
		console_loglevel = LOG_NOTICE;
	kernel_task(init_process);
	flush_init();
	idle_loop();
}

/*
 * G:200 At last somebody to do all this for. From here on the kernel only answers. The first process, still in kernel
 * mode: becomes /init, or whatever init= says.
 *
 * What it answers with needs disks, a network and somewhere to type, and a Guest has no hardware. How it gets along all
 * the same is next: `lguest64 journey Drivers`.
 */
void init_process(void)
{
	static const char *const tries[] = { "/init", "/sbin/init", "/bin/init", "/bin/sh" };
	static char path[128];
	const char *given = boot_param("init=");
	char *argv[] = { path, NULL };
	char *envp[] = { "HOME=/", "PATH=/bin:/sbin:/usr/bin", "TERM=linux", NULL };
	long err = -ENOENT;

	if (given && *given) {
		strlcpy(path, given, sizeof(path));
		err = do_execve(path, argv, envp, false);
		if (err)
			panic("cannot run init=%s (error %ld)", path, -err);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		strlcpy(path, tries[i], sizeof(path));
		err = do_execve(path, argv, envp, false);
		if (!err)
			return;
		if (err != -ENOENT)
			panic("cannot run %s (error %ld)", path, -err);
	}
	panic("no /init, /sbin/init, /bin/init or /bin/sh in the initramfs");
}
