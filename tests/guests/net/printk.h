/* Stands in for puppy's printk.h. */
#pragma once
