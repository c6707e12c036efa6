/* First fit over one list of free blocks in order of address, joined with their neighbours when freed. */
#include "user.h"

struct block {
	size_t size; /* bytes, with this header */
	struct block *next; /* while free */
};

#define ALIGN 16
#define HEADER ((sizeof(struct block) + ALIGN - 1) & -ALIGN)
#define CHUNK 16384

static struct block *free_list;

static void give(struct block *b)
{
	struct block **p = &free_list;
	while (*p && *p < b)
		p = &(*p)->next;
	b->next = *p;
	*p = b;
	if (b->next && (char *)b + b->size == (char *)b->next) {
		b->size += b->next->size;
		b->next = b->next->next;
	}
	if (p != &free_list) {
		struct block *before = (struct block *)((char *)p - __builtin_offsetof(struct block, next));
		if ((char *)before + before->size == (char *)b) {
			before->size += b->size;
			before->next = b->next;
		}
	}
}

static void grow(size_t n)
{
	static ulong end;
	struct block *b;
	n = (n + CHUNK - 1) & -CHUNK;
	if (!end)
		end = (brk(0) + ALIGN - 1) & -ALIGN;
	if (brk(end + n) < end + n) {
		dprintf(2, "%s: out of memory\n", program);
		exit(127);
	}
	b = (struct block *)end;
	end += n;
	b->size = n;
	give(b);
}

void *malloc(size_t n)
{
	n = ((n + ALIGN - 1) & -ALIGN) + HEADER;
	for (;;) {
		for (struct block **p = &free_list; *p; p = &(*p)->next) {
			struct block *b = *p;
			if (b->size < n)
				continue;
			if (b->size - n >= 2 * HEADER) {
				struct block *rest = (struct block *)((char *)b + n);
				rest->size = b->size - n;
				rest->next = b->next;
				b->size = n;
				*p = rest;
			} else {
				*p = b->next;
			}
			return (char *)b + HEADER;
		}
		grow(n);
	}
}

void free(void *p)
{
	if (p)
		give((struct block *)((char *)p - HEADER));
}

char *strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	return memcpy(malloc(n), s, n);
}
