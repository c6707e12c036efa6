/*
 * All attacks on i386 designs in one image, linked at 3 GiB + 1 MiB and loaded at 1 MiB; each begins at its attack_
 * symbol.
 */
#include "offsets.h"
#include "attack-32.h"
#include "common.h"

        .text
image_start:
#include "kernel-32.S"
#include "memory-32.S"
#include "tables-32.S"
#include "segments-32.S"
#include "events-32.S"
#include "forge-32.S"
#include "meltdown-32.S"
image_end:
