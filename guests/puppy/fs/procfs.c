/*
 * /proc: what ps, free and uptime read. Nothing is stored: an entry's text is made when it is opened, in Linux's format
 * (Documentation/filesystems/proc.rst), and read from that snapshot.
 */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

#define TEXT_SIZE 2048

typedef int (*text_fn)(char *buf, struct task *t);

static int text_meminfo(char *buf, struct task *t)
{
	ulong free = page_free_count() * 4;

	(void)t;
	return snprintf(buf, TEXT_SIZE, "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n"
			"Buffers:        %8u kB\nCached:         %8u kB\n", mem_total * 4, free, free, 0, 0);
}

static ulong idle_ticks(void)
{
	ulong busy = 0;

	for (struct task *p = all_tasks; p; p = p->next_all)
		busy += p->utime + p->stime;
	busy += init_task->cutime + init_task->cstime;
	ulong total = now_ns() / TICK_NS;
	return total > busy ? total - busy : 0;
}

static int text_uptime(char *buf, struct task *t)
{
	ulong up = now_ns() / TICK_NS, idle = idle_ticks();

	(void)t;
	return snprintf(buf, TEXT_SIZE, "%lu.%02lu %lu.%02lu\n", up / HZ, up % HZ, idle / HZ, idle % HZ);
}

static int text_loadavg(char *buf, struct task *t)
{
	ulong load[3];
	int tasks = 0;

	(void)t;
	for (struct task *p = all_tasks; p; p = p->next_all)
		tasks++;
	load_average(load);
	return snprintf(buf, TEXT_SIZE, "%lu.%02lu %lu.%02lu %lu.%02lu %lu/%d %d\n", load[0] >> 16,
			(load[0] & 0xffff) * 100 >> 16, load[1] >> 16, (load[1] & 0xffff) * 100 >> 16, load[2] >> 16,
			(load[2] & 0xffff) * 100 >> 16, run_queue_length(), tasks, current->pid);
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

static char state_letter(struct task *t)
{
	return t->state == TASK_RUNNING ? 'R' : t->state == TASK_SLEEPING ? 'S' : t->state == TASK_STOPPED ? 'T' : 'Z';
}

/* The fields of stat(5) as far as ps looks: pid comm state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt
 * utime stime cutime cstime priority nice threads itrealvalue starttime vsize rss. */
static int text_stat(char *buf, struct task *t)
{
	return snprintf(buf, TEXT_SIZE,
			"%d (%s) %c %d %d %d 1281 %d 0 %lu 0 0 0 %lu %lu %lu %lu 20 0 1 0 %lu %lu %lu 0 0 0 0 0 0 0 0 0 0 0 0 0 0 "
			"0 0 0 0 0\n",
			t->pid, t->comm, state_letter(t), t->parent ? t->parent->pid : 0, t->pgrp, t->session, t->pgrp,
			t->min_flt, t->utime, t->stime, t->cutime, t->cstime, (ulong)(t->start_ns / TICK_NS),
			t->mm ? mm_size(t->mm) : 0, t->mm ? t->mm->rss : 0);
}

static int text_status(char *buf, struct task *t)
{
	static const char *const words[] = { "running", "sleeping", "stopped", "zombie" };

	return snprintf(buf, TEXT_SIZE,
			"Name:\t%s\nState:\t%c (%s)\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"
			"VmSize:\t%8lu kB\nVmRSS:\t%8lu kB\nThreads:\t1\n",
			t->comm, state_letter(t), words[t->state], t->pid, t->pid, t->parent ? t->parent->pid : 0,
			t->mm ? mm_size(t->mm) / KiB : 0, t->mm ? t->mm->rss * 4 : 0);
}

static int text_comm(char *buf, struct task *t) { return snprintf(buf, TEXT_SIZE, "%s\n", t->comm); }

static int text_maps(char *buf, struct task *t)
{
	int n = 0;

	for (struct vma *v = t->mm ? t->mm->vmas : NULL; v && n < TEXT_SIZE - 100; v = v->next)
		n += snprintf(buf + n, TEXT_SIZE - n, "%0*lx-%0*lx %c%c%cp %08lx 00:01 %u %s\n", 2 * WORD, v->start, 2 * WORD,
			      v->end, v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
			      v->prot & PROT_EXEC ? 'x' : '-', (ulong)v->offset, v->inode ? v->inode->ino : 0,
			      v->stack ? "[stack]" : v->start <= t->mm->brk_start && t->mm->brk_start < v->end ? "[heap]" : "");
	return n;
}

static const struct {
	const char *name;
	text_fn text;
	bool of_task;
} entries[] = {
	{ "meminfo", text_meminfo, false }, { "uptime", text_uptime, false }, { "loadavg", text_loadavg, false },
	{ "version", text_version, false }, { "cmdline", text_cmdline, false }, { "stat", text_stat, true },
	{ "status", text_status, true },    { "comm", text_comm, true },      { "maps", text_maps, true },
};

/* ---- Files ---- */

static int proc_open(struct file *f)
{
	struct task *t = NULL;
	ulong entry = f->inode->info >> 16;

	if (entries[entry].of_task && !(t = task_find(f->inode->info & 0xffff)))
		return -ENOENT;
	char *buf = kmalloc(TEXT_SIZE);
	if (!buf)
		return -ENOMEM;
	f->inode->size = min(entries[entry].text(buf, t), TEXT_SIZE - 1);
	f->priv = buf;
	return 0;
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

static struct inode *root_lookup(struct inode *dir, const char *name)
{
	const char *end;
	pid_t pid = !strcmp(name, "self") ? current->pid : (pid_t)parse_number(name, &end);

	if (pid > 0 && pid < 32768 && (name[0] == 's' || !*end) && task_find(pid)) {
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
		pid_t next = 32768;
		for (struct task *t = all_tasks; t; t = t->next_all)
			if (t->pid > last && t->pid < next)
				next = t->pid;
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
