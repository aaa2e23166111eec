/*
 * store_lock.h - one server at a time, and how far it had come; private to this tier.
 *
 * The file tradewind.lock is held with flock() while the store is open: a killed server lets go of
 * it by dying. It holds two marks, each {serial, boot id, digest}: the serial of the newest commit,
 * and of the newest one that was flushed to the disk. A database whose own serial is lower than a
 * mark has lost changes: its log was cut short by damage, which SQLite by itself takes for an end.
 * The first mark counts only within the same boot of the machine (a power cut may take commits that
 * were not flushed). A mark that is itself damaged says nothing; it is about noticing, not about
 * the changes themselves.
 */
#pragma once

#include <stdint.h>

struct store_lock {
	int fd;
	uint8_t boot_id[16];
};

enum store_mark {
	STORE_MARK_COMMITTED = 0,
	STORE_MARK_FLUSHED,
};

/* In the folder @path. TW_E_EXISTS: another server has it, *@ret_pid (0: unknown). -errno. */
int store_lock_take(const char *path, struct store_lock *ret, int *ret_pid);
void store_lock_release(struct store_lock *lock);
/* Failure is passed over: the mark before says less, nothing wrong. Each mark has one thread. */
void store_lock_mark(const struct store_lock *lock, enum store_mark mark, uint64_t serial);
/* The lowest serial that the database must have. */
uint64_t store_lock_expected(const struct store_lock *lock);
/* Both marks go: what is there counts. */
void store_lock_reset(const struct store_lock *lock);
