/*
 * accepted.h - whether a connection came in by a certain door.
 *
 * The kernel names the process at the other end of a Unix socket, and that is a proof only for
 * whoever accepted the connection: one who has connected himself, to a service of root's, is told
 * "root" as well. An accepted socket is bound to the same file as the socket that listens, and
 * nobody can bind another one to that file: a new socket makes a new file, under whatever name.
 * The kernel's socket monitor (sock_diag(7)) tells which files these are.
 */
#pragma once

/*
 * Both Unix stream sockets; @listener listens, and keeps its file from being made anew. 0: accepted
 * there. -EACCES: it was not. -errno: the kernel does not tell, which must count as no.
 */
int tw_accepted_from(int socket, int listener);
