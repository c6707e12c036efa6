/* i386 had one system call for all of the above: a number, and the arguments in memory (include/uapi/linux/net.h). */
#include "errno.h"
#include "mm.h"
#include "syscalls.h"

long sys_socket(), sys_bind(), sys_connect(), sys_getsockname(), sys_getpeername(), sys_sendto(), sys_recvfrom(),
	sys_shutdown(), sys_setsockopt(), sys_getsockopt(), sys_sendmsg(), sys_recvmsg(), sys_no_stream(), sys_socketpair();

#define CALL(name) (syscall_fn)(void (*)(void))sys_##name

static const struct {
	syscall_fn fn;
	u32 arguments;
} calls[] = {
	[1] = { CALL(socket), 3 },      [2] = { CALL(bind), 3 },         [3] = { CALL(connect), 3 },
	[4] = { CALL(no_stream), 2 },   [5] = { CALL(no_stream), 3 },    [6] = { CALL(getsockname), 3 },
	[7] = { CALL(getpeername), 3 }, [8] = { CALL(socketpair), 4 },   [9] = { CALL(sendto), 4 },
	[10] = { CALL(recvfrom), 4 },   [11] = { CALL(sendto), 6 },      [12] = { CALL(recvfrom), 6 },
	[13] = { CALL(shutdown), 2 },   [14] = { CALL(setsockopt), 5 },  [15] = { CALL(getsockopt), 5 },
	[16] = { CALL(sendmsg), 3 },    [17] = { CALL(recvmsg), 3 },     [18] = { CALL(no_stream), 4 },
};

long sys_socketcall(u32 call, const ulong *args)
{
	/* send and recv are sendto and recvfrom without an address. */
	ulong a[6] = { 0 };

	if (call >= ARRAY_SIZE(calls) || !calls[call].fn)
		return -EINVAL;
	if (copy_from_user(a, args, calls[call].arguments * sizeof(a[0])))
		return -EFAULT;
	return calls[call].fn(a[0], a[1], a[2], a[3], a[4], a[5]);
}
