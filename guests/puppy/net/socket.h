/* What the files of the socket calls share. Structures and numbers are Linux's (include/uapi/linux/socket.h, in.h). */
#pragma once
#include "net.h"

struct file;
extern const struct file_ops socket_fops;

#define AF_UNSPEC 0
#define AF_INET 2
enum { TYPE_STREAM = 1, TYPE_DGRAM = 2, TYPE_RAW = 3 };
enum { MSG_PEEK = 2, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40 };

struct sockaddr_in {
	u16 family; /* the processor's byte order */
	be16 port;
	be32 address;
	u8 unused[8];
};

struct iovec {
	void *base; /* the user's */
	size_t len;
};

/* A datagram on its way from or to a user's memory. */
struct message {
	struct iovec single;      /* its only piece … */
	const struct iovec *user; /* … or where the user lists them */
	ulong count;
	size_t size; /* of all pieces */
	bool addressed, truncated;
	struct endpoint address; /* its other end, if addressed */
};

/* net/socket.c */
struct sock *sock_get(int fd, struct file **file, int *err);
int read_address(const void *user, u32 size, struct endpoint *e);
int write_address(struct endpoint e, void *user, u32 *user_size); /* user NULL: not wanted */
long socket_send(struct file *f, struct message *m);
long socket_receive(struct file *f, struct message *m, u32 flags);

/* net/message.c: n bytes between the message's pieces and data; 0 or -EFAULT */
int copy_message(const struct message *m, u8 *data, size_t n, bool to_user);

/* net/ioctl.c */
long socket_ioctl(struct file *f, ulong cmd, ulong arg);
