/* The working directory: to another, and which it is. */
#include "path.h"
#include "proc.h"

static long change_dir(struct inode *i)
{
	if (!S_ISDIR(i->mode)) {
		inode_put(i);
		return -ENOTDIR;
	}
	inode_put(current->cwd);
	current->cwd = i;
	return 0;
}

long sys_chdir(const char *user)
{
	int err;
	GET_PATH(p, user);
	struct inode *i = path_lookup(AT_FDCWD, p.s, true, &err);
	return i ? change_dir(i) : err;
}

long sys_fchdir(int fd)
{
	struct file *f = fd_get(fd);
	return !f || !f->inode ? -EBADF : change_dir(inode_get(f->inode));
}

/* The name of a directory in its parent. */
static const char *name_of(struct inode *i, char buf[256])
{
	if (i->parent->iops)
		return i->parent->iops->name_of(i->parent, i, buf) ? "?" : buf;
	for (struct dirent *d = i->parent->entries; d; d = d->next)
		if (d->inode == i)
			return d->name;
	return "?";
}

long sys_getcwd(char *buf, ulong size)
{
	char path[512], buffer[256], *at = path + sizeof(path) - 1;

	*at = 0;
	for (struct inode *i = current->cwd; i != root_inode; i = i->parent) {
		while (i->covers)
			i = i->covers;
		const char *name = name_of(i, buffer);
		size_t n = strlen(name);
		if (at - path < (long)n + 1)
			return -ENAMETOOLONG;
		at -= n;
		memcpy(at, name, n);
		*--at = '/';
	}
	if (!*at)
		*--at = '/';
	ulong n = path + sizeof(path) - at;
	return n > size ? -ERANGE : copy_to_user(buf, at, n) ? -EFAULT : (long)n;
}
