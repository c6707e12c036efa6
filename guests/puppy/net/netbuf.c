/*
 * Buffers for frames, two to a page, from a stock that has a limit: a neighbour that floods us takes no more of our memory
 * than that. Pages are not given back.
 */
#include "net.h"

#define NETBUF_SIZE (PAGE_SIZE / 2)
#define LIMIT 512 /* 1 MiB */
_Static_assert(sizeof(struct netbuf) + NETBUF_HEADROOM + NETBUF_ROOM <= NETBUF_SIZE, "netbuf");

static struct netbuf *stock;
static u32 made;
static spinlock_t lock;

struct netbuf *netbuf_new(u32 size)
{
	if (size > NETBUF_ROOM)
		return NULL;
	ulong flags = spin_lock_irqsave(&lock);
	if (!stock && made < LIMIT) {
		ulong pfn = alloc_page();
		for (ulong at = 0; pfn && at < PAGE_SIZE; at += NETBUF_SIZE) {
			struct netbuf *nb = pfn_to_va(pfn) + at;
			nb->next = stock;
			stock = nb;
			made++;
		}
	}
	struct netbuf *nb = stock;
	if (nb) {
		stock = nb->next;
		nb->next = NULL;
		nb->data = nb->space + NETBUF_HEADROOM;
		nb->len = 0;
	}
	spin_unlock_irqrestore(&lock, flags);
	return nb;
}

void netbuf_free(struct netbuf *nb)
{
	ulong flags = spin_lock_irqsave(&lock);

	nb->next = stock;
	stock = nb;
	spin_unlock_irqrestore(&lock, flags);
}
