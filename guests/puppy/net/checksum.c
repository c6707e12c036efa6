/* The Internet checksum: the one's complement sum of 16-bit words, which does not care about byte order (RFC 1071). */
#include "net.h"

u32 checksum_add(u32 sum, const void *data, u32 n)
{
	const u8 *p = data;

	/* A packet has at most 32 Ki words: 32 bits overflow only if they are never folded. */
	for (; n > 1; p += 2, n -= 2)
		sum += p[0] << 8 | p[1];
	if (n)
		sum += p[0] << 8;
	return (sum >> 16) + (sum & 0xffff);
}

u32 checksum_pseudo(u32 from, u32 to, u8 protocol, u32 length)
{
	return (from >> 16) + (from & 0xffff) + (to >> 16) + (to & 0xffff) + protocol + length;
}

u16 checksum_end(u32 sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return ~sum;
}
