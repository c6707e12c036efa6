/* nc -u: datagrams from standard input, and those that come to standard output. hostname. */
#include "../lib/net.h"
#include "applets.h"

static int usage(void)
{
	dprintf(2, "usage: nc -u [-w SECONDS] [-p PORT] ADDRESS PORT\n       nc -u -l [-w SECONDS] [-p] PORT\n");
	return 2;
}

static int port(const char *s)
{
	long n = number(s, 0);
	return n > 0 && n < 65536 ? n : 0;
}

/* To and fro until input and answers end: -w says after how long a silence; without it, a reader's ^C. */
static int relay(int fd, int listening, int patience)
{
	static char buf[1472]; /* one frame */
	struct pollfd list[2] = {{fd, POLLIN, 0}, {0, POLLIN, 0}};
	int partner = !listening;

	for (;;) {
		/* There is nobody to send to before someone has spoken. */
		int n = poll(list, partner ? 2 : 1, patience);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return complain("poll", n);
		if (n == 0)
			return 0;
		if (list[0].revents) {
			struct address from;
			long got = recvfrom(fd, buf, sizeof buf, &from);
			if (got < 0)
				return complain("read", got);
			if (!partner && (got < 0 || connect(fd, &from) < 0))
				return complain(ip_text(from.ip), EHOSTUNREACH);
			partner = 1;
			puts_bytes(buf, got);
			if (flush())
				return 1;
		}
		if (partner && list[1].revents) {
			long got = read(0, buf, sizeof buf);
			if (got <= 0) {
				/* Nothing more to say; the other side may have. */
				list[1].fd = -1;
				if (patience < 0)
					return 0;
				continue;
			}
			got = sendto(fd, buf, got, NULL);
			if (got < 0)
				return complain("write", got);
		}
	}
}

int nc_main(int argc, char **argv)
{
	int i = 1, listening = 0, udp = 0, patience = -1, own = 0, one = 1;
	struct address to = {AF_INET, to16(0), to32(0), {0}}, here = to;

	for (; i < argc && argv[i][0] == '-'; i++) {
		for (const char *c = argv[i] + 1; *c; c++) {
			if (*c == 'l')
				listening = 1;
			else if (*c == 'u')
				udp = 1;
			else if (*c == 'w' && !c[1] && i + 1 < argc && number(argv[i + 1], 0) > 0)
				patience = number(argv[++i], 0) * 1000, c = " ";
			else if (*c == 'p' && !c[1] && i + 1 < argc && port(argv[i + 1]))
				own = port(argv[++i]), c = " ";
			else if (*c != ' ')
				return usage();
		}
	}
	if (!udp)
		return usage(); /* there are no streams here */
	if (listening && !own && i == argc - 1)
		own = port(argv[i++]);
	if (listening ? !own || i != argc : i != argc - 2 || !port(argv[i + 1]))
		return usage();
	if (!listening && parse_ip(argv[i], &to.ip)) {
		dprintf(2, "nc: %s: not an address\n", argv[i]);
		return 1;
	}
	int fd = socket(AF_INET, SOCK_DGRAM, 0), error;
	if (fd < 0)
		return complain("socket", fd);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	here.port = to16(own);
	if (own && (error = bind(fd, &here)) < 0)
		return complain("bind", error);
	if (!listening) {
		to.port = to16(port(argv[i + 1]));
		if ((error = connect(fd, &to)) < 0)
			return complain(argv[i], error);
	}
	return relay(fd, listening, patience);
}

int hostname_main(int argc, char **argv)
{
	struct utsname u;
	int error;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		dprintf(2, "usage: hostname [NAME]\n");
		return 2;
	}
	error = argc == 2 ? sethostname(argv[1]) : uname(&u);
	if (error < 0)
		return complain(argc == 2 ? argv[1] : "uname", error);
	if (argc == 1)
		printf("%s\n", u.nodename);
	return 0;
}
