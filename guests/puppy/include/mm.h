/* Memory: frames, kernel objects, page tables, address spaces. */
#pragma once
#include "arch.h"
#include "mutex.h"
#include "string.h"

struct inode;

/* ---- Physical frames (mm/page.c). pfn: a frame's number; a physical address divided by 4096. ---- */
struct page {
	u32 refs; /* owners; 0: free */
	u8 order; /* of the free block that starts here */
	u8 flags;
	u16 unused;
	u32 next, prev; /* free blocks of the same order, by pfn */
};
#define PAGE_FREE 1     /* starts a free block */
#define PAGE_RESERVED 2 /* never counted, never freed: the image, the initramfs, the zero page */

enum { ZONE_LOW, ZONE_HIGH }; /* high: i386 memory outside the direct map; for user pages alone */

extern struct page *mem_map;
extern ulong mem_pfns;               /* one more than the highest frame */
extern ulong mem_total, mem_reserved; /* pages */

void page_init(void);
ulong page_free_count(void);
ulong alloc_pages(int order);   /* pfn, refs 1, in the direct map; 0: none left */
ulong alloc_user_page(void);    /* pfn anywhere; contents undefined */
void free_pages_order(ulong pfn, int order);
void page_get(ulong pfn);
void page_put(ulong pfn);       /* frees it with the last reference */
static inline ulong alloc_page(void) { return alloc_pages(0); }

/* Physical address to kernel address and back, within the direct map. */
#ifdef __x86_64__
extern ulong direct_map; /* DIRECT_MAP, or where a host's design has moved it */
#else
#define direct_map ((ulong)DIRECT_MAP)
#endif
static inline void *pa_to_va(ulong pa) { return (void *)(pa + direct_map); }
static inline ulong va_to_pa(const void *va)
{
#ifdef __x86_64__
	if ((ulong)va >= KERNEL_OFFSET)
		return (ulong)va - KERNEL_OFFSET;
#endif
	return (ulong)va - direct_map;
}
static inline void *pfn_to_va(ulong pfn) { return pa_to_va(pfn << PAGE_SHIFT); }

/* Any frame, also one outside the direct map, through a window; not across a sleep. */
void *kmap(ulong pfn, int window);
void zero_page(ulong pfn);
void copy_page(ulong to, ulong from);
extern ulong zero_pfn; /* a page of zeroes that everyone may map read-only */

/* ---- Kernel objects (mm/slab.c) ---- */
void *kmalloc(size_t size); /* NULL: no memory; at most 2 pages */
void *kzalloc(size_t size);
void kfree(void *p);

/* ---- Page tables (mm/pgtable_32.c, mm/pgtable_64.c) ---- */
#define PTE_P 0x1ul   /* present */
#define PTE_W 0x2ul   /* writable */
#define PTE_U 0x4ul   /* user */
#define PTE_PCD 0x10ul /* uncached */
#define PTE_A 0x20ul  /* accessed */
#define PTE_D 0x40ul  /* dirty */
#define PTE_PS 0x80ul /* large page */
#define PTE_G 0x100ul /* survives a CR3 load */
#ifdef __x86_64__
#define PTE_NX (1ul << 63)
#define PTE_FRAME 0x000ffffffffff000ul
#else
#define PTE_NX 0ul
#define PTE_FRAME 0xfffff000ul
#endif
#define PTE_KERNEL (PTE_P | PTE_W | PTE_A | PTE_D)
extern ulong pte_nx;     /* PTE_NX where the processor has it */
extern ulong pte_global; /* PTE_G where it does */
/*
 * Entries hold addresses of the machine's, as far as the processor is concerned; under a host that has it walk our own
 * tables they are not the addresses that we know. So entries are made and read by these two alone.
 */
#ifdef __x86_64__
extern ulong machine_offset; /* machine address of our physical address 0 */
#else
#define machine_offset 0ul
#endif
static inline ulong make_pte(ulong pa, ulong flags) { return (pa + machine_offset) | flags; }
static inline ulong pte_pa(ulong pte) { return (pte & PTE_FRAME) - machine_offset; }
static inline ulong pte_pfn(ulong pte) { return pte_pa(pte) >> PAGE_SHIFT; }
/* Where page tables are read-only to us, whoever stores to one for us; NULL: they are not. x86_64. */
extern void (*store_entry)(ulong *entry, ulong value);
/* An upper entry of tables that a processor may be walking. */
static inline void set_entry(ulong *entry, ulong value)
{
	if (unlikely(store_entry))
		store_entry(entry, value);
	else
		*entry = value;
}

extern ulong kernel_pgd[]; /* the kernel's own top-level table; its upper part is in all others */
void kernel_map_init(void);
ulong early_page(void);    /* before page_init: physical address of a page that is mapped and zeroed */
ulong *kernel_pte(ulong va); /* of the ioremap and kmap areas */
void *ioremap(u64 pa, size_t size);

struct mm;
ulong *pte_find(struct mm *mm, ulong va);  /* NULL: no table there */
ulong *pte_alloc(struct mm *mm, ulong va); /* NULL: no memory */
#ifdef __x86_64__
#define PT_SPAN (512ul << PAGE_SHIFT) /* bytes that one last-level table covers */
#else
#define PT_SPAN (1024ul << PAGE_SHIFT)
#endif
bool pgd_create(struct mm *mm);
void pgd_destroy(struct mm *mm);

/* ---- Address spaces (mm/vma.c, mm/fault.c) ---- */
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20

struct vma {
	struct vma *next; /* ascending */
	ulong start, end;
	u32 prot;
	bool stack;          /* may show as [stack]; never merged */
	bool shared;         /* writes go to the inode's own pages */
	struct inode *inode; /* NULL: anonymous */
	u64 offset;          /* in the file, of start */
};

struct mm {
	u32 users; /* tasks, and whoever looks at it */
	u32 cpus;  /* processors that may remember translations: those that have it in CR3 */
	struct mutex lock; /* areas and page tables */
	ulong *pgd; /* kernel address of the top-level table */
	ulong pgd_pa;
	struct vma *vmas;
	ulong brk_start, brk;
	ulong arg_start, arg_end;
	ulong rss; /* pages mapped, the zero page aside */
};

struct mm *mm_create(void);
struct mm *mm_fork(struct mm *from);
struct mm *mm_get(struct mm *mm);
void mm_put(struct mm *mm); /* the last reference takes it apart */
void mm_switch(struct mm *mm); /* with interrupts off; NULL: the kernel's own tables */
struct vma *vma_find(struct mm *mm, ulong va);
long vma_map(struct mm *mm, ulong addr, ulong len, u32 prot, u32 flags, struct inode *inode, u64 offset);
long vma_unmap(struct mm *mm, ulong addr, ulong len);
ulong mm_size(struct mm *mm);
/* After page-table entries have changed here: other processors that run in mm forget the old ones. */
void flush_others(struct mm *mm, ulong start, ulong end);

enum fault_result { FAULT_OK, FAULT_SEGV, FAULT_BUS, FAULT_OOM, FAULT_FETCH };
enum fault_result mm_fault(struct mm *mm, ulong va, bool write, bool exec);

/* ---- User memory (uaccess.S): 0, or the bytes that could not be copied ---- */
ulong raw_copy(void *to, const void *from, ulong n);
ulong raw_clear(void *to, ulong n);
long raw_strncpy(char *to, const char *from, ulong n); /* length, n if it is longer, -EFAULT */
static inline bool access_ok(const void *p, ulong n) { return n <= TASK_SIZE && (ulong)p <= TASK_SIZE - n; }
int copy_from_user(void *to, const void *from, ulong n); /* 0 or -EFAULT */
int copy_to_user(void *to, const void *from, ulong n);
int clear_user(void *to, ulong n);
long strncpy_from_user(char *to, const char *from, ulong n);
#define put_user(v, p) ({ __typeof__(*(p)) _v = (v); copy_to_user((p), &_v, sizeof(_v)); })
#define get_user(v, p) copy_from_user(&(v), (p), sizeof(v))
bool fixup_exception(struct pt_regs *regs);

/* ---- boot.c ---- */
struct boot_info {
	u32 subarch;
	u64 design; /* hardware_subarch_data: lguest64's design word */
	ulong initrd_start, initrd_size; /* physical */
	char cmdline[512];
	int e820_entries;
	struct { u64 addr, size; u32 type; } e820[32];
};
extern struct boot_info boot;
const char *boot_param(const char *name); /* value of "name=", "" for a bare word, NULL */
