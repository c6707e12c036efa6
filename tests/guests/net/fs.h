/* Stands in for puppy's fs.h. */
#pragma once
void poll_wake(void);
