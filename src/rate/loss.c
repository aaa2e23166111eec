#include "rate/loss.h"

#define BASE_MAX 0.6
#define WEIGHT_MIN 100.0 /* packets that what was seen before counts for: at most so many */
#define WEIGHT_MAX 1000.0
#define WEIGHT_ROUNDS 10.0
#define BURST 6.0 /* losses come in bursts: the variance of a share is that much higher */
#define SLOPE 2.0 /* how far the difference between above and below is drawn on downward */

/*
 * Loss that is higher above the estimate is made by us with others: it must not be compensated, or
 * each would drive the other.
 */
static void update_base(struct tw_loss *loss)
{
	const struct tw_loss_seen *up = &loss->up, *down = &loss->down;
	double base = down->share, apart = up->share - down->share;

	if (up->weight > 0 && down->weight > 0 && apart > 0) {
		double noise =
			4 * up->share * (1 - up->share) * (1 / up->weight + 1 / down->weight);

		if (apart * apart > noise)
			base -= SLOPE * (apart - noise / apart);
	}
	base = base > 0 ? base : 0;
	loss->base = base < BASE_MAX ? base : BASE_MAX;
}

void tw_loss_learn(struct tw_loss *loss, struct tw_loss_seen *seen, uint64_t packets, double share)
{
	double count = (double)packets, weight = seen->weight, most = WEIGHT_ROUNDS * count;

	if (packets == 0)
		return;
	/* Many packets for a steady estimate, few rounds for one that follows. */
	most = most < WEIGHT_MIN ? WEIGHT_MIN : most;
	most = most > WEIGHT_MAX ? WEIGHT_MAX : most;
	weight = weight > most ? most : weight;
	seen->share = (seen->share * weight + share * count) / (weight + count);
	seen->weight = weight + count;
	update_base(loss);
}

void tw_loss_forget(struct tw_loss *loss)
{
	loss->up.weight = loss->down.weight = 0;
}

bool tw_loss_is_excess(const struct tw_loss *loss, uint64_t packets, double share, double margin)
{
	double least = loss->base > 0.01 ? loss->base : 0.01, noise, over;

	if (loss->down.weight < 1 || packets == 0)
		return false;
	noise = least * (1 - least) * BURST * (1 / (double)packets + 1 / loss->down.weight);
	over = share - (loss->base * 1.1 + margin);
	return over > 0 && over * over > 4 * 4 * noise;
}
