/* What the standards say that a host does with good frames and with bad ones. */
#include "world.h"

static const struct frame *sent(void) { return (const void *)out; }
static bool sent_icmp(u8 type) { return out_count == 1 && get16(sent()->e.type) == ETHERTYPE_IPV4 && sent()->icmp.type == type; }
static bool sent_sound(void)
{
	u32 length = get16(sent()->ip.length);
	return out_size == sizeof(struct ethernet) + length && !checksum_end(checksum_add(0, &sent()->ip, sizeof(struct ipv4))) &&
	       !checksum_end(checksum_add(0, &sent()->icmp, length - sizeof(struct ipv4)));
}

static void check_arp(void)
{
	struct frame f = arp_frame(1, THEM, US);
	receive(&f, ARP_SIZE);
	const struct arp *a = &sent()->arp;
	check(out_count == 1 && out_size == ARP_SIZE && !memcmp(sent()->e.to, their_mac, MAC_SIZE) && get16(a->operation) == 2 &&
		      get32(a->sender) == US && !memcmp(a->sender_mac, our_mac, MAC_SIZE) && get32(a->target) == THEM,
	      "a question for our address is answered to who asked");
	f = arp_frame(1, THEM, THEM);
	receive(&f, ARP_SIZE);
	check(!out_count, "a question for another address is not answered");
	f = arp_frame(1, US, US);
	receive(&f, ARP_SIZE);
	check(!out_count, "who claims our address gets no answer");
	f = arp_frame(1, 0, US);
	receive(&f, ARP_SIZE);
	check(out_count == 1, "whether our address is free is answered");
	f = arp_frame(1, 0xc0a80001, US);
	receive(&f, ARP_SIZE);
	check(!out_count, "somebody who is no neighbour is not answered");
	f = arp_frame(1, THEM, US);
	f.arp.sender_mac[0] = 3;
	receive(&f, ARP_SIZE);
	check(!out_count, "a group's address as a sender's is not believed");
	bool quiet = true;
	f = arp_frame(1, THEM, US);
	for (u32 n = 0; n < ARP_SIZE; n++) {
		receive(&f, n);
		quiet = quiet && !out_count;
	}
	check(quiet, "an ARP frame that is cut off anywhere is dropped");
}

static void check_echo(void)
{
	struct frame f = echo_frame(THEM, US);
	receive(&f, FRAME_SIZE);
	check(sent_icmp(ICMP_ECHO_REPLY) && sent_sound() && !memcmp(&sent()->icmp.id, &f.icmp.id, 4 + DATA) &&
		      get32(sent()->ip.to) == THEM && get32(sent()->ip.from) == US,
	      "an echo comes back");
	f = echo_frame(THEM, EVERYONE);
	memset(f.e.to, 0xff, MAC_SIZE);
	receive(&f, FRAME_SIZE);
	check(!out_count, "an echo for everyone does not");
	f = echo_frame(THEM, US);
	f.e.to[5] = 9;
	receive(&f, FRAME_SIZE);
	check(!out_count, "a frame for another card is not ours");
	static const u32 impossible[] = { US, 0x7f000001, 0xe0000001, 0xffffffff, EVERYONE };
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		f = echo_frame(impossible[i], US);
		receive(&f, FRAME_SIZE);
		check(!out_count, "nobody is answered whom there cannot be");
	}
	f = echo_frame(THEM, 0x7f000001);
	receive(&f, FRAME_SIZE);
	check(!out_count, "127.0.0.1 is not reached from outside");
	f = echo_frame(THEM, US);
	f.ip.fragment = to16(0x2000);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(!out_count, "a fragment is dropped");
	bool quiet = true;
	f = echo_frame(THEM, US);
	for (u32 n = 0; n < FRAME_SIZE; n++) {
		receive(&f, n);
		quiet = quiet && !out_count;
	}
	check(quiet, "a packet that is cut off anywhere is dropped");
	quiet = true;
	for (u32 bit = sizeof(struct ethernet) * 8; bit < FRAME_SIZE * 8; bit++) {
		f = echo_frame(THEM, US);
		((u8 *)&f)[bit / 8] ^= 1 << bit % 8;
		receive(&f, FRAME_SIZE);
		quiet = quiet && !out_count;
	}
	check(quiet, "a packet with any bit turned over is dropped");
	u8 padded[sizeof(struct frame) + 20] = { 0 };
	f = echo_frame(THEM, US);
	memcpy(padded, &f, FRAME_SIZE);
	receive(padded, sizeof(padded));
	check(sent_icmp(ICMP_ECHO_REPLY) && out_size == FRAME_SIZE, "what pads a frame is no part of the packet");
	/* One word of options (all "no operation") between IP's header and ICMP's. */
	struct frame g = ip_frame(PROTOCOL_ICMP, THEM, US, 4 + sizeof(struct icmp) + DATA - 4);
	f = echo_frame(THEM, US);
	g.ip.version_words = 0x46;
	memset(&g.icmp, 1, 4);
	memcpy((u8 *)&g.icmp + 4, &f.icmp, sizeof(struct icmp) + DATA - 4);
	seal(&g);
	receive(&g, FRAME_SIZE);
	check(sent_icmp(ICMP_ECHO_REPLY) && out_size == FRAME_SIZE - 4, "options are passed over");
}

static void check_udp(void)
{
	struct sock s = { .kind = SOCK_UDP }, other = { .kind = SOCK_UDP };
	struct frame f = udp_frame(THEM, US, 7777);

	check(!sock_bind(&s, (struct endpoint){ 0, 7777 }), "a port is free");
	check(sock_bind(&other, (struct endpoint){ US, 7777 }) == -EADDRINUSE, "and then is not");
	receive(&f, FRAME_SIZE);
	struct netbuf *nb = sock_take(&s, true);
	check(nb && nb->len == DATA && nb->from_address == THEM && nb->from_port == 4000 && !memcmp(nb->data, f.data, DATA),
	      "a datagram finds its socket");
	netbuf_free(nb);
	check(take(&s) == DATA && !take(&s), "once");
	bool quiet = true;
	for (u32 bit = sizeof(struct ethernet) * 8; bit < FRAME_SIZE * 8; bit++) {
		f = udp_frame(THEM, US, 7777);
		((u8 *)&f)[bit / 8] ^= 1 << bit % 8;
		receive(&f, FRAME_SIZE);
		quiet = quiet && !take(&s);
	}
	check(quiet, "one with any bit turned over does not");
	f = udp_frame(THEM, US, 7777);
	f.udp.checksum = to16(0);
	receive(&f, FRAME_SIZE);
	check(take(&s) == DATA, "one without a checksum does");
	f = udp_frame(THEM, US, 7777);
	f.udp.length = to16(sizeof(struct udp) + DATA + 1);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(!take(&s), "one that claims more than there is does not");
	f = udp_frame(THEM, US, 7777);
	f.udp.length = to16(sizeof(struct udp) - 1);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(!take(&s), "nor one that claims less than its header");
	for (int i = 0; i < SOCK_QUEUE + 5; i++) {
		f = udp_frame(THEM, US, 7777);
		receive(&f, FRAME_SIZE);
	}
	int n = 0;
	while (take(&s))
		n++;
	check(n == SOCK_QUEUE, "a socket that nobody reads holds so many and no more");
	sock_remove(&s);

	f = udp_frame(THEM, US, 7777);
	receive(&f, FRAME_SIZE);
	check(sent_icmp(ICMP_UNREACHABLE) && sent()->icmp.code == UNREACHABLE_PORT && sent_sound() &&
		      !memcmp(sent()->data, &f.ip, sizeof(f.ip) + ICMP_QUOTED),
	      "where nobody listens, the sender hears of it");
	f = udp_frame(THEM, EVERYONE, 7777);
	memset(f.e.to, 0xff, MAC_SIZE);
	receive(&f, FRAME_SIZE);
	check(!out_count, "but not if everyone was meant");
	f = ip_frame(99, THEM, US, DATA);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(sent_icmp(ICMP_UNREACHABLE) && sent()->icmp.code == UNREACHABLE_PROTOCOL, "nor is an unknown protocol kept quiet");
	n = 0;
	for (int i = 0; i < 1000; i++) {
		f = udp_frame(THEM, US, 7777);
		receive(&f, FRAME_SIZE);
		n += out_count;
	}
	check(n > 0 && n < 100, "a flood is not answered with a flood");
	pass_time(NSEC_PER_SEC);
}

static void check_neighbours(void)
{
	struct sock s = { .kind = SOCK_UDP };
	struct packet to_stranger = { .to = US + 40 };
	struct frame f;

	sock_bind(&s, (struct endpoint){ US, 5000 });
	s.remote = (struct endpoint){ US + 40, 6000 };
	out_count = 0;
	check(!udp_output(to_stranger, 5000, 6000, datagram(10)) && out_count == 1 && get16(sent()->e.type) == ETHERTYPE_ARP &&
		      get32(sent()->arp.target) == US + 40 && sent()->e.to[0] == 0xff,
	      "for somebody unknown, everyone is asked");
	udp_output(to_stranger, 5000, 6000, datagram(10));
	check(out_count == 1, "once");
	pass_time(NSEC_PER_SEC + 1);
	check(out_count == 2, "and again after a second");
	f = arp_frame(2, US + 40, US);
	receive(&f, ARP_SIZE);
	check(out_count == 2 && get16(sent()->e.type) == ETHERTYPE_IPV4 && !memcmp(sent()->e.to, their_mac, MAC_SIZE),
	      "the answer sends what has waited");
	f = arp_frame(2, US + 41, US);
	receive(&f, ARP_SIZE);
	out_count = 0;
	to_stranger.to = US + 41;
	udp_output(to_stranger, 5000, 6000, datagram(10));
	check(get16(sent()->e.type) == ETHERTYPE_ARP, "an answer that nobody asked for is not believed");
	s.remote.address = US + 41;
	for (int i = 0; i < 5; i++)
		pass_time(NSEC_PER_SEC + 1);
	check(s.error == EHOSTUNREACH && out_count == 3, "after three questions the socket hears that there is no way");
	s.error = 0;
	out_count = 0;
	to_stranger.to = US + 40;
	pass_time(61 * NSEC_PER_SEC);
	udp_output(to_stranger, 5000, 6000, datagram(10));
	check(get16(sent()->e.type) == ETHERTYPE_ARP, "a minute later one asks again");
	arp_forget(&card);

	f = udp_frame(THEM, US, 5000);
	check(udp_output((struct packet){ .to = THEM }, 1, 2, datagram(ETHERNET_MTU)) == -EMSGSIZE, "what does not fit is refused");
	check(udp_output((struct packet){ .to = 0x08080808 }, 1, 2, datagram(1)) == -ENETUNREACH, "so is what has no way to go");
	check(udp_output((struct packet){ .to = US }, 9, 5001, datagram(3)) == 0 && !s.error, "to ourselves there always is one");
	s.remote = (struct endpoint){ US, 5001 };
	udp_output((struct packet){ .from = US, .to = US }, 5000, 5001, datagram(3));
	check(s.error == ECONNREFUSED, "and what nobody there wants comes back as an error");
	sock_remove(&s);
}

int main(void)
{
	start();
	check(out_count == 1 && get32(sent()->arp.sender) == US && get32(sent()->arp.target) == US, "a new address is announced");
	check_arp();
	check_echo();
	check_udp();
	check_neighbours();
	arp_forget(&card);
	check(!live, "no buffer is lost");
	return failures != 0;
}
