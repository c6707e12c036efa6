/*
 * exec: a static ELF image takes the place of the current program. Its segments become areas that fault in from the
 * file; the new stack gets the arguments, the environment and the auxiliary vector, as the System V ABI lays them out.
 */
#include "elf.h"
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"
#include "random.h"

#define STACK_TOP (TASK_SIZE - PAGE_SIZE)
#define STACK_SIZE (8 * MiB)
#define MAX_ARGS 256
#define ARG_BYTES (2 * PAGE_SIZE) /* all strings together */
#define MAX_SEGMENTS 16

/* The strings, packed, collected before the old address space goes. */
struct args {
	char *buf;
	ulong used;
	int argc, envc;
};

static long collect(struct args *a, char *const *list, bool user, int *count)
{
	for (*count = 0;; ++*count) {
		char *s = NULL;
		long n;
		if (list) {
			if (user) {
				if (get_user(s, &list[*count]))
					return -EFAULT;
			} else {
				s = list[*count];
			}
		}
		if (!s)
			return 0;
		if (*count == MAX_ARGS)
			return -E2BIG;
		ulong room = ARG_BYTES - a->used;
		if (user) {
			n = strncpy_from_user(a->buf + a->used, s, room);
			if (n < 0)
				return n;
		} else {
			n = strlen(s);
			if ((ulong)n < room)
				memcpy(a->buf + a->used, s, n + 1);
		}
		if ((ulong)n >= room)
			return -E2BIG;
		a->used += n + 1;
	}
}

struct image {
	struct elf_header header;
	struct elf_segment segments[MAX_SEGMENTS];
	ulong phdr; /* where the program headers show in memory, 0: nowhere */
};

static long read_image(struct inode *inode, struct image *img)
{
	struct elf_header *h = &img->header;

	if (inode_read(inode, 0, h, sizeof(*h)) != sizeof(*h) || memcmp(h->ident, "\177ELF", 4))
		return -ENOEXEC;
	if (h->ident[4] != ELF_CLASS || h->ident[5] != 1 || h->machine != ELF_MACHINE || h->type != ELF_EXEC)
		return -ENOEXEC;
	if (h->phentsize != sizeof(struct elf_segment) || !h->phnum || h->phnum > MAX_SEGMENTS)
		return -ENOEXEC;
	long size = h->phnum * sizeof(struct elf_segment);
	if (inode_read(inode, h->phoff, img->segments, size) != size)
		return -ENOEXEC;
	if (h->entry >= TASK_SIZE)
		return -ENOEXEC;
	for (int i = 0; i < h->phnum; i++) {
		struct elf_segment *s = &img->segments[i];
		if (s->type == ELF_INTERP)
			return -ENOEXEC; /* dynamic linking is not our trade */
		if (s->type != ELF_LOAD)
			continue;
		if (s->vaddr < PAGE_SIZE || s->vaddr >= TASK_SIZE || s->memsz > TASK_SIZE - s->vaddr || s->filesz > s->memsz ||
		    (s->offset - s->vaddr) % PAGE_SIZE || s->offset > inode->size || s->filesz > inode->size - s->offset)
			return -ENOEXEC;
	}
	return 0;
}

/* Maps the segments into the current, empty address space. */
static long map_image(struct mm *mm, struct inode *inode, struct image *img)
{
	ulong top = 0;

	for (int i = 0; i < img->header.phnum; i++) {
		struct elf_segment *s = &img->segments[i];
		if (s->type != ELF_LOAD || !s->memsz)
			continue;
		u32 prot = (s->flags & 4 ? PROT_READ : 0) | (s->flags & 2 ? PROT_WRITE : 0) | (s->flags & 1 ? PROT_EXEC : 0);
		ulong start = s->vaddr & PAGE_MASK, file_end = s->vaddr + s->filesz, end = ALIGN_UP(s->vaddr + s->memsz, PAGE_SIZE);
		ulong file_pages = s->filesz ? ALIGN_UP(file_end, PAGE_SIZE) : start;
		long r = 0;
		if (file_pages > start)
			r = vma_map(mm, start, file_pages - start, prot, MAP_FIXED | MAP_PRIVATE, inode, s->offset & PAGE_MASK);
		if (!IS_ERROR(r) && end > file_pages)
			r = vma_map(mm, file_pages, end - file_pages, prot, MAP_FIXED | MAP_PRIVATE, NULL, 0);
		if (IS_ERROR(r))
			return r;
		/* The rest of the last file page is bss, and must not show what follows in the file. */
		if (s->filesz && s->memsz > s->filesz && file_pages > file_end && (prot & PROT_WRITE) &&
		    clear_user((void *)file_end, min(file_pages, s->vaddr + s->memsz) - file_end))
			return -ENOEXEC;
		if (s->offset <= img->header.phoff && img->header.phoff < s->offset + s->filesz)
			img->phdr = s->vaddr + img->header.phoff - s->offset;
		top = max(top, end);
	}
	mm->brk_start = mm->brk = top;
	return 0;
}

/* From the top: the strings, 16 random bytes, then auxv, envp, argv and, at the stack pointer, argc. */
static long build_stack(struct mm *mm, struct args *a, struct image *img, ulong *sp_out)
{
	ulong strings = (STACK_TOP - a->used) & ~15ul, random = strings - 16;
	u8 seed[16];
	ulong auxv[] = {
		AT_PHDR, img->phdr, AT_PHENT, sizeof(struct elf_segment), AT_PHNUM, img->header.phnum, AT_PAGESZ, PAGE_SIZE,
		AT_ENTRY, img->header.entry, AT_UID, 0, AT_EUID, 0, AT_GID, 0, AT_EGID, 0, AT_SECURE, 0, AT_CLKTCK, HZ,
		AT_RANDOM, random, AT_NULL, 0,
	};
	long r = vma_map(mm, STACK_TOP - STACK_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE, NULL, 0);
	if (IS_ERROR(r))
		return r;
	vma_find(mm, STACK_TOP - 1)->stack = true;
	random_bytes(seed, sizeof(seed));
	ulong words = 1 + a->argc + 1 + a->envc + 1;
	ulong sp = (random - sizeof(auxv) - words * sizeof(ulong)) & ~15ul, at = sp;
	const char *s = a->buf;

	if (copy_to_user((void *)strings, a->buf, a->used) || copy_to_user((void *)random, seed, sizeof(seed)))
		return -EFAULT;
	mm->arg_start = strings;
	if (put_user((ulong)a->argc, (ulong *)at))
		return -EFAULT;
	at += sizeof(ulong);
	for (int i = 0; i < a->argc + a->envc; i++) {
		if (i == a->argc) {
			mm->arg_end = strings + (s - a->buf);
			at += sizeof(ulong); /* argv's NULL: the page is new, so zero */
		}
		if (put_user(strings + (s - a->buf), (ulong *)at))
			return -EFAULT;
		at += sizeof(ulong);
		s += strlen(s) + 1;
	}
	if (!a->envc) {
		mm->arg_end = strings + a->used;
		at += sizeof(ulong);
	}
	at += sizeof(ulong);
	if (copy_to_user((void *)at, auxv, sizeof(auxv)))
		return -EFAULT;
	*sp_out = sp;
	return 0;
}

void start_user(struct pt_regs *regs, ulong ip, ulong sp)
{
	memset(regs, 0, sizeof(*regs));
	regs->orig_ax = -1;
	regs->ip = ip;
	regs->sp = sp;
	regs->flags = FLAG_IF | 2;
	regs->cs = pv_ops.user_cs;
	regs->ss = pv_ops.user_ds;
#ifndef __x86_64__
	regs->ds = regs->es = pv_ops.user_ds;
#endif
}

/* Signals that had handlers go back to their default; the handlers' addresses mean nothing any more. */
static void reset_task(struct task *t, const char *path)
{
	const char *base = path;

	ulong flags = spin_lock_irqsave(&task_lock);
	for (int i = 0; i < NSIG; i++)
		if (t->sigact[i].handler != SIG_IGN)
			memset(&t->sigact[i], 0, sizeof(t->sigact[i]));
	spin_unlock_irqrestore(&task_lock, flags);
	t->clear_tid = NULL;
	for (const char *p = path; *p; p++)
		if (*p == '/')
			base = p + 1;
	strlcpy(t->comm, base, sizeof(t->comm));
	files_close(t, true);
#ifdef __x86_64__
	t->fs_base = t->gs_base = 0;
#else
	memset(t->tls, 0, sizeof(t->tls));
#endif
}

/* The console as descriptors 0, 1 and 2 of the first process. */
static void open_console(void)
{
	int err;
	struct inode *inode = path_lookup(AT_FDCWD, "/dev/console", true, &err);

	if (!inode || current->files[0])
		return;
	struct file *f = file_open(inode, O_RDWR, &err);
	if (!f)
		return;
	fd_install(f, false);
	for (int i = 0; i < 2; i++) {
		file_get(f);
		fd_install(f, false);
	}
}

static long exec_inode(struct inode *inode, const char *path, struct args *args)
{
	struct task *t = current;
	struct image *img = kzalloc(sizeof(*img));
	struct mm *mm, *old = t->mm;
	ulong sp = 0;
	long err;

	if (!img)
		return -ENOMEM;
	err = read_image(inode, img);
	if (err) {
		kfree(img);
		return err;
	}
	mm = mm_create();
	if (!mm) {
		kfree(img);
		return -ENOMEM;
	}
	/* The new space must be current to be written to; the old one waits until nothing can fail any more. */
	set_mm(mm);
	err = map_image(mm, inode, img);
	if (!err)
		err = build_stack(mm, args, img, &sp);
	if (err) {
		set_mm(old);
		mm_put(mm);
		kfree(img);
		return err;
	}
	if (old)
		mm_put(old);
	reset_task(t, path);
	if (t == init_task)
		open_console();
	pv_ops.set_kernel_stack(t->stack + KERNEL_STACK);
	pv_ops.load_tls(t);
	start_user(task_regs(t), img->header.entry, sp);
	kfree(img);
	return 0;
}

/* "#!interpreter argument": the line's parts take the place of argv[0], and the script's path follows them. */
static long script_args(struct inode *inode, const char *path, struct args *args, char interp[128])
{
	char line[128], *arg, *end;
	long n = inode_read(inode, 0, line, sizeof(line) - 1);

	if (n < 3 || line[0] != '#' || line[1] != '!')
		return -ENOEXEC;
	line[n] = 0;
	end = strchr(line, '\n');
	if (!end)
		return -ENOEXEC;
	while (end > line + 2 && (end[-1] == ' ' || end[-1] == '\r'))
		end--;
	*end = 0;
	char *p = line + 2;
	while (*p == ' ')
		p++;
	arg = strchr(p, ' ');
	if (arg) {
		*arg++ = 0;
		while (*arg == ' ')
			arg++;
	}
	strlcpy(interp, p, 128);

	/* New strings in front: interpreter, argument, path; argv[0] falls away. */
	char head[400];
	ulong first = args->argc ? strlen(args->buf) + 1 : 0;
	int k = snprintf(head, sizeof(head), "%s", p) + 1;
	if (arg)
		k += snprintf(head + k, sizeof(head) - k, "%s", arg) + 1;
	if (k + strlen(path) + 1 > sizeof(head) || args->used - first + k + strlen(path) + 1 > ARG_BYTES)
		return -E2BIG;
	k += snprintf(head + k, sizeof(head) - k, "%s", path) + 1;
	memmove(args->buf + k, args->buf + first, args->used - first);
	memcpy(args->buf, head, k);
	args->used += k - first;
	args->argc += (args->argc ? 0 : 1) + (arg ? 2 : 1);
	return 0;
}

long do_execve(const char *path, char *const *argv, char *const *envp, bool user)
{
	struct args args = { .buf = kmalloc(ARG_BYTES) };
	char interp[128];
	int err = 0;

	if (!args.buf)
		return -ENOMEM;
	long r = collect(&args, argv, user, &args.argc);
	if (!r)
		r = collect(&args, envp, user, &args.envc);
	fs_lock();
	for (int depth = 0; !r; depth++) {
		struct inode *inode = path_lookup(AT_FDCWD, path, true, &err);
		if (!inode) {
			r = err;
			break;
		}
		if (!S_ISREG(inode->mode) || !(inode->mode & 0111)) {
			inode_put(inode);
			r = -EACCES;
			break;
		}
		r = exec_inode(inode, path, &args);
		if (r != -ENOEXEC || depth == 2) {
			inode_put(inode);
			break;
		}
		r = script_args(inode, path, &args, interp);
		inode_put(inode);
		path = interp;
	}
	fs_unlock();
	kfree(args.buf);
	return r;
}
