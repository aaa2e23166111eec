/*
 * transfer_content.h - making sources, changing them, and holding what arrived against them.
 */
#pragma once

#include "transfer.h"

void transfer_fill(struct transfer_world *world);
/* Another version of a file: other bytes, perhaps another size, a later time. */
void transfer_touch(struct transfer_world *world, uint64_t number);
/* For sim_disk.named and written of the receiver's disk. */
void transfer_named(void *context, const char *path, struct sim_node *node);
void transfer_written(void *context, struct sim_node *node);
/* Files at the receiver that are whole, under their own name. */
uint64_t transfer_count_whole(struct transfer_world *world);
/* Fails the simulation for everything that is not as it must be at the end. */
void transfer_verify(struct transfer_world *world);
