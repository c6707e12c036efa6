/* /dev: null, zero, and the console under its usual names. */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

static long null_read(struct file *f, void *buf, size_t n)
{
	(void)f, (void)buf, (void)n;
	return 0;
}
static long null_write(struct file *f, const void *buf, size_t n)
{
	(void)f, (void)buf;
	return n;
}
static long zero_read(struct file *f, void *buf, size_t n)
{
	(void)f;
	return clear_user(buf, n) ? -EFAULT : (long)n;
}

static const struct file_ops null_fops = { .read = null_read, .write = null_write };
static const struct file_ops zero_fops = { .read = zero_read, .write = null_write };

void device_node(const char *name, u32 mode, u32 rdev, const struct file_ops *ops)
{
	struct inode *dev = dir_find(root_inode, "dev"), *i = inode_new(S_IFCHR | mode);

	if (!dev || !i || dir_add(dev, name, i))
		panic("no memory for /dev/%s", name);
	i->rdev = rdev;
	i->fops = ops;
	inode_put(i);
	inode_put(dev);
}

#define RDEV(major, minor) ((major) << 8 | (minor))

void devices_init(void)
{
	static const char *const dirs[] = { "dev", "proc", "tmp", "mnt" };

	for (size_t k = 0; k < ARRAY_SIZE(dirs); k++) {
		struct inode *i = inode_new(S_IFDIR | 0755);
		if (!i || dir_add(root_inode, dirs[k], i))
			panic("no memory for /%s", dirs[k]);
		inode_put(i);
	}
	device_node("null", 0666, RDEV(1, 3), &null_fops);
	device_node("zero", 0666, RDEV(1, 5), &zero_fops);
	device_node("console", 0600, RDEV(5, 1), &tty_fops);
	device_node("tty", 0666, RDEV(5, 0), &tty_fops);
	device_node("hvc0", 0600, RDEV(229, 0), &tty_fops);
}
