/*
 * resolver.h - looks up host names where it can do no harm: what name servers answer is parsed by
 * libraries of the system, and the modules of its name services are anybody's code.
 *
 * A process answers one question and ends. It reads what the system's resolver needs and nothing
 * else, connects to no TCP port but that of name servers, and has no rights.
 */
#pragma once

#include <stdint.h>

#include "auth/confine.h"
#include "base/address.h"

/* What it reads, for whoever looks up names in a process that does more. Lent for good. */
const struct tw_confine_place *tw_resolver_places(size_t *ret_count);

/*
 * Confines the calling process for good: to be called in a child made for it, that has become whom
 * it runs as, once. As tw_resolve(): 0, or EAI_*; EAI_SYSTEM with errno when it could not be
 * confined.
 */
int tw_resolver_look_up(enum tw_confine_mode mode, const char *host, uint16_t port,
			struct tw_address *ret, unsigned room, unsigned *ret_count);
