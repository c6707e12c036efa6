/*
 * /proc: what ps, free and uptime read. Nothing is stored: an entry's text is made when it is opened, in Linux's format
 * (Documentation/filesystems/proc.rst), and read from that snapshot.
 */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

#define TEXT_SIZE 4096

typedef int (*text_fn)(char *buf, struct task *t);

static int text_meminfo(char *buf, struct task *t)
{
	ulong free = page_free_count() * 4;

	(void)t;
	return snprintf(buf, TEXT_SIZE, "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n"
			"Buffers:        %8u kB\nCached:         %8u kB\n", mem_total * 4, free, free, 0, 0);
}

static int text_uptime(char *buf, struct task *t)
{
	ulong up = now_ns() / TICK_NS, idle = 0, user, system, unused;

	(void)t;
	for (int cpu = 0; cpu < cpu_count; cpu++) {
		cpu_ticks(cpu, &user, &system, &unused);
		idle += unused;
	}
	return snprintf(buf, TEXT_SIZE, "%lu.%02lu %lu.%02lu\n", up / HZ, up % HZ, idle / HZ, idle % HZ);
}

static int text_loadavg(char *buf, struct task *t)
{
	ulong load[3];

	(void)t;
	load_average(load);
	return snprintf(buf, TEXT_SIZE, "%lu.%02lu %lu.%02lu %lu.%02lu %lu/%u %d\n", load[0] >> 16,
			(load[0] & 0xffff) * 100 >> 16, load[1] >> 16, (load[1] & 0xffff) * 100 >> 16, load[2] >> 16,
			(load[2] & 0xffff) * 100 >> 16, run_queue_length(), task_count(), current->pid);
}

/* ---- Processors ---- */

/* Appends to a text of n characters, and never beyond its end. */
static int append(char *buf, int n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int append(char *buf, int n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	n += vsnprintf(buf + n, TEXT_SIZE - n, fmt, ap);
	va_end(ap);
	return min(n, TEXT_SIZE - 1);
}

static int text_cpuinfo(char *buf, struct task *t)
{
	union {
		u32 words[13];
		char text[52];
	} vendor = { 0 }, model = { 0 };
	u32 a, b, c, d, highest, signature;
	int n = 0;

	(void)t;
	cpuid(0, &highest, &vendor.words[0], &vendor.words[2], &vendor.words[1]);
	cpuid(1, &signature, &b, &c, &d);
	cpuid(0x80000000, &a, &b, &c, &d);
	for (u32 i = 0; i < 3 && a >= 0x80000004; i++)
		cpuid(0x80000002 + i, &model.words[4 * i], &model.words[4 * i + 1], &model.words[4 * i + 2], &model.words[4 * i + 3]);
	for (int cpu = 0; cpu < cpu_count; cpu++)
		n = append(buf, n, "processor\t: %d\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n"
				   "stepping\t: %u\napicid\t\t: %u\n\n",
			   cpu, vendor.text, (signature >> 8 & 15) + (signature >> 20 & 255),
			   (signature >> 4 & 15) | (signature >> 12 & 0xf0), model.text, signature & 15, cpus[cpu]->apic_id);
	return n;
}

static ulong interrupts_on(int cpu) { return READ_ONCE(cpus[cpu]->irq_count); }

/* Idle is what is left, since idle processors take no ticks; nobody is nice, and nothing waits for disks alone. */
static int text_system_stat(char *buf, struct task *t)
{
	ulong user, system, idle, all[3] = { 0 }, interrupts = 0;
	int n = 0;

	(void)t;
	for (int cpu = 0; cpu < cpu_count; cpu++) {
		cpu_ticks(cpu, &user, &system, &idle);
		all[0] += user;
		all[1] += system;
		all[2] += idle;
		interrupts += interrupts_on(cpu);
	}
	n = append(buf, n, "cpu  %lu 0 %lu %lu 0 0 0 0 0 0\n", all[0], all[1], all[2]);
	for (int cpu = 0; cpu < cpu_count; cpu++) {
		cpu_ticks(cpu, &user, &system, &idle);
		n = append(buf, n, "cpu%d %lu 0 %lu %lu 0 0 0 0 0 0\n", cpu, user, system, idle);
	}
	return append(buf, n, "intr %lu\nbtime %lu\nprocs_running %lu\n", interrupts,
		      (ulong)((wall_ns() - now_ns()) / NSEC_PER_SEC), run_queue_length());
}

static int text_interrupts(char *buf, struct task *t)
{
	int n = append(buf, 0, "    ");

	(void)t;
	for (int cpu = 0; cpu < cpu_count; cpu++)
		n = append(buf, n, "       CPU%-2d", cpu);
	n = append(buf, n, "\n");
	for (int line = 0; line < EXTERNAL_VECTORS; line++) {
		ulong sum = 0;
		for (int cpu = 0; cpu < cpu_count; cpu++)
			sum += cpus[cpu]->irqs[line];
		if (!sum)
			continue;
		n = append(buf, n, "%3d:", line);
		for (int cpu = 0; cpu < cpu_count; cpu++)
			n = append(buf, n, " %11lu", cpus[cpu]->irqs[line]);
		n = append(buf, n, "  %s\n", line == 0 ? "timer" : line == pv_ops.ipi_line ? "other processors" : "device");
	}
	return n;
}

static int text_version(char *buf, struct task *t)
{
	(void)t;
	return snprintf(buf, TEXT_SIZE, "puppy version 1.0 (%s, %s)\n", sizeof(ulong) == 8 ? "x86_64" : "i386", pv_ops.name);
}

static int text_cmdline(char *buf, struct task *t)
{
	(void)t;
	return snprintf(buf, TEXT_SIZE, "%s\n", boot.cmdline);
}

static int text_mounts(char *buf, struct task *t)
{
	(void)t;
	return mounts_text(buf, TEXT_SIZE);
}

static char state_letter(struct task *t) { return "RSTZR"[t->state]; }

/* Its size and its pages in memory, both in bytes; it may be giving them up just now. */
static void memory_of(struct task *t, ulong *size, ulong *resident)
{
	struct mm *mm = task_mm(t);

	*size = mm ? mm_size(mm) : 0;
	*resident = mm ? mm->rss << PAGE_SHIFT : 0;
	if (mm)
		mm_put(mm);
}

static pid_t parent_of(struct task *t)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	pid_t pid = t->parent ? t->parent->pid : 0;

	spin_unlock_irqrestore(&task_lock, flags);
	return pid;
}

/* The fields of stat(5) as far as ps and top look: pid comm state ppid pgrp session tty tpgid flags minflt cminflt majflt
 * cmajflt utime stime cutime cstime priority nice threads itrealvalue starttime vsize rss … the 39th is the processor. */
static int text_stat(char *buf, struct task *t)
{
	ulong size, resident;

	memory_of(t, &size, &resident);
	return snprintf(buf, TEXT_SIZE,
			"%d (%s) %c %d %d %d 1281 %d 0 %lu 0 0 0 %lu %lu %lu %lu 20 0 1 0 %lu %lu %lu 0 0 0 0 0 0 0 0 0 0 0 0 0 0 "
			"%u 0 0 0 0\n",
			t->pid, t->comm, state_letter(t), parent_of(t), t->pgrp, t->session, t->pgrp, t->min_flt, t->utime,
			t->stime, t->cutime, t->cstime, (ulong)(t->start_ns / TICK_NS), size, resident >> PAGE_SHIFT, t->cpu);
}

static int text_status(char *buf, struct task *t)
{
	static const char *const words[] = { "running", "sleeping", "stopped", "zombie", "running" };
	ulong size, resident;

	memory_of(t, &size, &resident);
	return snprintf(buf, TEXT_SIZE,
			"Name:\t%s\nState:\t%c (%s)\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"
			"VmSize:\t%8lu kB\nVmRSS:\t%8lu kB\nThreads:\t1\nCpus_allowed:\t%x\n",
			t->comm, state_letter(t), words[t->state], t->pid, t->pid, parent_of(t), size / KiB, resident / KiB,
			t->affinity & online_mask);
}

static int text_comm(char *buf, struct task *t) { return snprintf(buf, TEXT_SIZE, "%s\n", t->comm); }

static int text_maps(char *buf, struct task *t)
{
	struct mm *mm = task_mm(t);
	int n = 0;

	if (!mm)
		return 0;
	mutex_lock(&mm->lock);
	for (struct vma *v = mm->vmas; v; v = v->next)
		n = append(buf, n, "%0*lx-%0*lx %c%c%c%c %08lx 00:01 %u %s\n", 2 * WORD, v->start, 2 * WORD, v->end,
			   v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-', v->prot & PROT_EXEC ? 'x' : '-',
			   v->shared ? 's' : 'p', (ulong)v->offset, v->inode ? v->inode->ino : 0,
			   v->stack ? "[stack]" : v->start <= mm->brk_start && mm->brk_start < v->end ? "[heap]" : "");
	mutex_unlock(&mm->lock);
	mm_put(mm);
	return n;
}

static const struct {
	const char *name;
	text_fn text;
	bool of_task;
} entries[] = {
	{ "meminfo", text_meminfo, false }, { "uptime", text_uptime, false }, { "loadavg", text_loadavg, false },
	{ "version", text_version, false }, { "mounts", text_mounts, false }, { "cmdline", text_cmdline, false }, { "stat", text_stat, true },
	{ "status", text_status, true },    { "comm", text_comm, true },      { "maps", text_maps, true },
	{ "cpuinfo", text_cpuinfo, false }, { "stat", text_system_stat, false }, { "interrupts", text_interrupts, false },
};

/* ---- Files ---- */

static int proc_open(struct file *f)
{
	struct task *t = NULL;
	ulong entry = f->inode->info >> 16;

	if (entries[entry].of_task && !(t = task_get(f->inode->info & 0xffff)))
		return -ENOENT;
	char *buf = kmalloc(TEXT_SIZE);
	if (buf)
		f->inode->size = min(entries[entry].text(buf, t), TEXT_SIZE - 1);
	f->priv = buf;
	if (t)
		task_put(t);
	return buf ? 0 : -ENOMEM;
}

static long proc_read(struct file *f, void *buf, size_t n)
{
	u64 size = f->inode->size;

	if (f->pos >= size)
		return 0;
	n = min((u64)n, size - f->pos);
	if (copy_to_user(buf, (char *)f->priv + f->pos, n))
		return -EFAULT;
	f->pos += n;
	return n;
}

static void proc_release(struct file *f) { kfree(f->priv); }

static const struct file_ops proc_fops = { .open = proc_open, .read = proc_read, .release = proc_release };

/* ---- Directories: the root, with one for each process. Inode numbers tell them apart ---- */

#define INO_BASE 0x10000000u
static struct inode *proc_root;
static const struct dir_ops task_dops;

static struct inode *new_entry(struct inode *dir, ulong entry, pid_t pid)
{
	struct inode *i = inode_new(S_IFREG | 0444);

	if (i) {
		i->ino = INO_BASE + (u32)pid * 32 + entry + 1;
		i->info = entry << 16 | pid;
		i->fops = &proc_fops;
		i->parent = dir;
	}
	return i;
}

static struct inode *find_entry(struct inode *dir, const char *name, bool of_task, pid_t pid)
{
	for (size_t e = 0; e < ARRAY_SIZE(entries); e++)
		if (entries[e].of_task == of_task && !strcmp(entries[e].name, name))
			return new_entry(dir, e, pid);
	return NULL;
}

static bool exists(pid_t pid)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	bool found = task_find(pid);

	spin_unlock_irqrestore(&task_lock, flags);
	return found;
}

static pid_t next_pid(pid_t after)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	pid_t next = 32768;

	for (struct task *t = all_tasks; t; t = t->next_all)
		if (t->pid > after && t->pid < next)
			next = t->pid;
	spin_unlock_irqrestore(&task_lock, flags);
	return next;
}

static struct inode *root_lookup(struct inode *dir, const char *name)
{
	const char *end;
	pid_t pid = !strcmp(name, "self") ? current->pid : (pid_t)parse_number(name, &end);

	if (pid > 0 && pid < 32768 && (name[0] == 's' || !*end) && exists(pid)) {
		struct inode *i = inode_new(S_IFDIR | 0555);
		if (i) {
			i->ino = INO_BASE + pid * 32;
			i->info = pid;
			i->dops = &task_dops;
			/* The root of /proc has names and never goes away, so this needs no reference. */
			i->parent = dir;
		}
		return i;
	}
	return find_entry(dir, name, false, 0);
}

static bool nth_of(bool of_task, ulong n, char *name, u32 *ino, u32 *mode, pid_t pid)
{
	for (size_t e = 0; e < ARRAY_SIZE(entries); e++)
		if (entries[e].of_task == of_task && n-- == 0) {
			strlcpy(name, entries[e].name, 256);
			*ino = INO_BASE + (u32)pid * 32 + e + 1;
			*mode = S_IFREG;
			return true;
		}
	return false;
}

static bool root_entry(struct inode *dir, ulong n, char *name, u32 *ino, u32 *mode)
{
	ulong fixed = 0;

	(void)dir;
	for (size_t e = 0; e < ARRAY_SIZE(entries); e++)
		fixed += !entries[e].of_task;
	if (n < fixed)
		return nth_of(false, n, name, ino, mode, 0);
	/* Processes by ascending number: the n-th smallest. */
	pid_t last = 0;
	for (n -= fixed;; n--) {
		pid_t next = next_pid(last);
		if (next == 32768)
			return false;
		last = next;
		if (n == 0)
			break;
	}
	snprintf(name, 256, "%d", last);
	*ino = INO_BASE + last * 32;
	*mode = S_IFDIR;
	return true;
}

static struct inode *task_lookup(struct inode *dir, const char *name) { return find_entry(dir, name, true, dir->info); }
static bool task_entry(struct inode *dir, ulong n, char *name, u32 *ino, u32 *mode)
{
	return nth_of(true, n, name, ino, mode, dir->info);
}

static const struct dir_ops root_dops = { root_lookup, root_entry };
static const struct dir_ops task_dops = { task_lookup, task_entry };

void procfs_init(void)
{
	proc_root = dir_find(root_inode, "proc");
	proc_root->dops = &root_dops;
}
