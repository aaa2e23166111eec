/*
 * accepted.h - whether a connection came in by a certain door.
 *
 * The kernel names the process at the other end of a Unix socket, and that is a proof only for
 * whoever accepted the connection: one who has connected himself, to a service of root's, is told
 * "root" as well. An accepted socket is bound to the same file as the socket that listens, and
 * nobody can bind another one to that file: a new socket makes a new file, under whatever name.
 * The kernel hands out that file (CAP_NET_ADMIN), or names it by its socket monitor (sock_diag(7)).
 * The latter knows only the network namespace that this process is in: one who connects from
 * another one counts as not accepted then.
 */
#pragma once

/*
 * Both Unix stream sockets; @listener listens, and keeps its file from being made anew. 0: accepted
 * there. -EACCES: it was not. -errno: the kernel does not tell, which must count as no.
 */
int tw_accepted_from(int socket, int listener);
