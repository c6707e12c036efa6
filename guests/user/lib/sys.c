/* System calls: Linux's numbers for each architecture (arch/x86/entry/syscalls/syscall_{32,64}.tbl). */
#include "call.h"

char **environ;
int main(int argc, char **argv);

void __attribute__((noreturn)) start(int argc, char **argv, char **envp)
{
	environ = envp;
	exit(main(argc, argv));
}

void _exit(int code)
{
	for (;;)
		CALL1(252, 231, code);
}

void exit(int code)
{
	flush();
	_exit(code);
}

int fork(void)
{
	flush(); /* or both would write what is in the buffer */
	return CALL0(2, 57);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	flush();
	return CALL3(11, 59, path, argv, envp);
}

int wait4(int pid, int *status, int options) { return CALL4(114, 61, pid, status, options, 0); }
int getpid(void) { return CALL0(20, 39); }
int kill(int pid, int sig) { return CALL2(37, 62, pid, sig); }
int setsid(void) { return CALL0(66, 112); }
int setpgid(int pid, int pgrp) { return CALL2(57, 109, pid, pgrp); }

/* Returning from a handler is a system call, made by a stub that the kernel has the handler return to. */
#define SA_RESTORER 0x04000000
void restore_signal(void);

int signal(int sig, ulong action)
{
	struct {
		ulong handler, flags, restorer;
		u64 mask;
	} act = {action, 0, 0, 0};
	if (action > SIG_IGN) {
		act.flags = SA_RESTORER;
		act.restorer = (ulong)restore_signal;
	}
	return CALL4(174, 13, sig, &act, 0, sizeof act.mask);
}

int open(const char *path, int flags, int mode) { return CALL3(5, 2, path, flags, mode); }
int close(int fd) { return CALL1(6, 3, fd); }
long read(int fd, void *buf, size_t n) { return CALL3(3, 0, fd, buf, n); }
long write(int fd, const void *buf, size_t n) { return CALL3(4, 1, fd, buf, n); }
int ioctl(int fd, ulong request, void *arg) { return CALL3(54, 16, fd, request, arg); }
int pipe(int fd[2]) { return CALL1(42, 22, fd); }
int dup2(int from, int to) { return CALL2(63, 33, from, to); }
int chdir(const char *path) { return CALL1(12, 80, path); }
int getcwd(char *buf, size_t n) { return CALL2(183, 79, buf, n); }
int mkdir(const char *path, int mode) { return CALL2(39, 83, path, mode); }
int rmdir(const char *path) { return CALL1(40, 84, path); }
int unlink(const char *path) { return CALL1(10, 87, path); }
long readlink(const char *path, char *buf, size_t n) { return CALL3(85, 89, path, buf, n); }
long getdents64(int fd, void *buf, size_t n) { return CALL3(220, 217, fd, buf, n); }

/* struct stat64 on i386, struct stat on x86_64 (arch/x86/include/uapi/asm/stat.h). */
struct kernel_stat {
#ifdef __x86_64__
	u64 dev, ino, nlink;
	u32 mode, uid, gid, pad;
	u64 rdev, size, blksize, blocks, atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec, reserved[3];
#else
	u64 dev;
	u32 pad, old_ino, mode, nlink, uid, gid;
	u64 rdev;
	u32 pad2;
	u64 size;
	u32 blksize;
	u64 blocks;
	u32 atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec;
	u64 ino;
#endif
} __attribute__((packed));

static int simplify(int result, const struct kernel_stat *from, struct status *to)
{
	if (result < 0)
		return result;
	to->mode = from->mode;
	to->links = from->nlink;
	to->mtime = from->mtime;
	to->size = from->size;
	return 0;
}

int lstat(const char *path, struct status *out)
{
	struct kernel_stat s;
	return simplify(CALL2(196, 6, path, &s), &s, out);
}

int stat(const char *path, struct status *out)
{
	struct kernel_stat s;
	return simplify(CALL2(195, 4, path, &s), &s, out);
}

int rename(const char *from, const char *to) { return CALL2(38, 82, from, to); }
int link(const char *from, const char *to) { return CALL2(9, 86, from, to); }
int symlink(const char *target, const char *path) { return CALL2(83, 88, target, path); }
int chmod(const char *path, int mode) { return CALL2(15, 90, path, mode); }
int fsync(int fd) { return CALL1(118, 74, fd); }
int sync(void) { return CALL0(36, 162); }
int mount(const char *device, const char *where, const char *type, ulong flags)
{
	return syscall6(NR(21, 165), (ulong)device, (ulong)where, (ulong)type, flags, 0, 0);
}
int umount(const char *path) { return CALL2(52, 166, path, 0); }

int truncate(const char *path, u64 size)
{
#ifdef __x86_64__
	return CALL2(0, 76, path, size);
#else
	return CALL3(193, 0, path, (ulong)size, (ulong)(size >> 32));
#endif
}

s64 lseek(int fd, s64 offset, int whence)
{
#ifdef __x86_64__
	return CALL3(0, 8, fd, offset, whence);
#else
	u64 result = 0;
	long error = syscall6(140, fd, (ulong)(offset >> 32), (ulong)offset, (ulong)&result, whence, 0);
	return error < 0 ? error : (s64)result;
#endif
}

int statfs(const char *path, struct usage *out)
{
	struct {
#ifdef __x86_64__
		u64 type, bsize;
#else
		u32 type, bsize;
#endif
		u64 blocks, bfree, bavail, files, ffree;
		u64 rest[8];
	} __attribute__((packed)) s;
	/* i386: the call with 64-bit numbers, which wants to hear the size of its 84 bytes. */
	int error = NR(0, 1) ? CALL2(0, 137, path, &s) : CALL3(268, 0, path, 84, &s);
	if (error >= 0)
		*out = (struct usage){s.bsize, s.blocks, s.bfree, s.files, s.ffree};
	return error;
}

ulong brk(ulong end) { return CALL1(45, 12, end); }

void *mmap(size_t length)
{
	/* i386's is mmap2, which differs in the unit of the offset, and ours is 0. */
	ulong at = syscall6(NR(192, 9), 0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1ul, 0);
	return at > -4096ul ? NULL : (void *)at;
}

int munmap(void *start, size_t length) { return CALL2(91, 11, start, length); }
int uname(struct utsname *out) { return CALL1(122, 63, out); }
int sysinfo(struct sysinfo *out) { return CALL1(116, 99, out); }
long syslog(int what, char *buf, int n) { return CALL3(103, 103, what, buf, n); }
int clock_gettime(int clock, struct timespec *out) { return CALL2(265, 228, clock, out); }
int nanosleep(const struct timespec *time) { return CALL2(162, 35, time, 0); }
int reboot(u32 command, ulong argument) { return CALL4(88, 169, REBOOT_MAGIC1, REBOOT_MAGIC2, command, argument); }
