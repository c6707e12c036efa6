/* ELF as far as a static program needs it (System V gABI, chapters 4 and 5), and the auxiliary vector. */
#pragma once
#include "types.h"

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	ulong entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

#ifdef __x86_64__
#define ELF_CLASS 2
#define ELF_MACHINE 62
struct elf_segment {
	u32 type, flags;
	ulong offset, vaddr, paddr, filesz, memsz, align;
};
#else
#define ELF_CLASS 1
#define ELF_MACHINE 3
struct elf_segment {
	u32 type;
	ulong offset, vaddr, paddr, filesz, memsz;
	u32 flags;
	ulong align;
};
#endif
#define ELF_EXEC 2
#define ELF_LOAD 1
#define ELF_INTERP 3

enum {
	AT_NULL = 0, AT_PHDR = 3, AT_PHENT = 4, AT_PHNUM = 5, AT_PAGESZ = 6, AT_ENTRY = 9, AT_UID = 11, AT_EUID = 12,
	AT_GID = 13, AT_EGID = 14, AT_CLKTCK = 17, AT_SECURE = 23, AT_RANDOM = 25,
};
