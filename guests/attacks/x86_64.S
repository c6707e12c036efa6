/*
 * All attacks on x86_64 designs in one image, linked at -2 GiB + 1 MiB and loaded at 1 MiB; each begins at its attack_
 * symbol.
 */
#include "offsets.h"
#include "attack.h"
#include "common.h"

        .text
image_start:
#include "kernel.S"
#include "memory.S"
#include "tables.S"
#include "process.S"
#include "hypercalls.S"
#include "stacks.S"
#include "descriptors.S"
#include "edges.S"
#include "forge.S"
#include "meltdown.S"
image_end:
