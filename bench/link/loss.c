#include "loss.h"

void link_loss_set(struct link_loss *loss, double share, double burst)
{
	loss->share = share;
	loss->in_bursts = burst >= 1.0 && share > 0.0 && share < 1.0;
	loss->bad = false;
	if (loss->in_bursts) {
		loss->leave = 1.0 / burst;
		loss->enter = share / (burst * (1.0 - share));
	}
}

static bool draw(struct link_loss *loss, struct link_random *random)
{
	if (!loss->in_bursts)
		return link_random_chance(random, loss->share);
	if (link_random_chance(random, loss->bad ? loss->leave : loss->enter))
		loss->bad = !loss->bad;
	return loss->bad;
}

bool link_loss_draw(struct link_loss *loss, struct link_random *random)
{
	bool lost = draw(loss, random);

	if (lost && !loss->last_lost)
		loss->runs++;
	loss->last_lost = lost;
	return lost;
}
