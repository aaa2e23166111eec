/*
 * agent.h - a file agent: a process that does file calls with the rights of one account.
 *
 * It is handed connected SOCK_SEQPACKET sockets of the engine, each in a message of one byte with
 * the descriptor (SCM_RIGHTS) over @control, and serves them all.
 *
 * It ends when @control is at its end and no client socket is left. Left without clients for some
 * seconds it ends as well, so that nobody is lost on the way: shutdown(@control, SHUT_RD) first,
 * from when on the other side's send fails and another agent is started there; then it serves what
 * had arrived before, if anything.
 *
 * It must not depend on being a process of its own: where there is no monitor it runs on a thread.
 */
#pragma once

/* Takes @control. 0, or -errno: what made it end early. */
int tw_agent_run(int control);
/*
 * One client on the calling thread until it hangs up: a root of its own (agent_message.h), calls
 * one after the other. What is malformed ends it. Takes @socket. tw_agent_run() has a thread in
 * here for each client, so that a disk that hangs holds up only whoever asked for it.
 */
void tw_agent_serve(int socket);
