/* Random numbers for the kernel and, by getrandom and /dev/random, for everyone. */
#pragma once
#include "types.h"

void random_init(void);
void random_bytes(void *to, size_t n);       /* never waits */
void random_mix(const void *from, size_t n); /* can only add to what nobody can foresee */
/* A driver has true randomness: it will be asked now and then, and answers with random_seed. Users wait for the first. */
void random_source(void (*ask)(void));
void random_seed(const void *from, size_t n);
