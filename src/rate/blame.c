#include "rate/blame.h"

#define PACKETS_MIN 64.0 /* a span of fewer says nothing */
#define SPAN_MIN (3 * TW_MSEC)
#define SPAN_MAX (2 * TW_SECOND)
#define SCATTER_FIRST 4.0
#define SCATTER_MIN 1.0
#define SCATTER_MAX 16.0
#define SCATTER_WEIGHT 16 /* acknowledgements */
#define SCATTER_PACKETS 8.0
#define MARGIN 0.04 /* of what is sent: more loss than that is looked into */
#define EXCESS 2    /* spans in a row */
#define DOUBT 3.0   /* standard deviations that chance is allowed */
#define SURE 6.0    /* how much better one must explain it: e^(that / 2) times as likely */
#define PATIENCE 4  /* spans in which nothing does; then sending less shall tell */
#define BLUR 0.01   /* a span's rate is no better known than that */
#define SHARE_MIN 0.01
#define BASE_MOST 0.6
#define LEARNED_MOST 8
#define RISES 4        /* so much more slowly than it falls */
#define HELD_SPANS 2   /* the first begins before it shows */
#define HELD_KEPT 0.85 /* loss that is still that much of what it was does not depend on us */

void tw_blame_begin(struct tw_blame *blame, tw_ns now)
{
	if (blame->scatter <= 0)
		blame->scatter = SCATTER_FIRST;
	blame->count = blame->excess = blame->held = 0;
	blame->since = now;
	blame->acked = blame->lost = 0;
	blame->packets = 0;
	blame->spoiled = blame->queued = blame->spilled = false;
	blame->skip = 1;
}

void tw_blame_forget(struct tw_blame *blame)
{
	blame->known = false;
	blame->base = 0;
	blame->learned = 0;
	blame->count = blame->excess = blame->held = 0;
}

static double clamp(double value, double least, double most)
{
	return value < least ? least : value > most ? most : value;
}

static const struct tw_blame_span *back(const struct tw_blame *blame, unsigned spans)
{
	return &blame->spans[(blame->count + TW_BLAME_SPANS - spans) % TW_BLAME_SPANS];
}

static unsigned kept(const struct tw_blame *blame)
{
	return blame->count < TW_BLAME_SPANS ? blame->count : TW_BLAME_SPANS;
}

/* The last @spans together; no more than there are. */
static struct tw_blame_span last(const struct tw_blame *blame, unsigned spans)
{
	struct tw_blame_span sum = { 0 };

	spans = spans < kept(blame) ? spans : kept(blame);
	for (unsigned i = 1; i <= spans; i++) {
		sum.loss += back(blame, i)->loss * back(blame, i)->packets;
		sum.packets += back(blame, i)->packets;
	}
	if (sum.packets > 0)
		sum.loss /= sum.packets;
	return sum;
}

double tw_blame_got(const struct tw_blame *blame, unsigned spans, double *ret_most)
{
	double least = 0;

	*ret_most = 0;
	spans = spans < kept(blame) ? spans : kept(blame);
	for (unsigned i = 1; i <= spans; i++) {
		if (least <= 0 || back(blame, i)->got < least)
			least = back(blame, i)->got;
		if (back(blame, i)->got > *ret_most)
			*ret_most = back(blame, i)->got;
	}
	return least;
}

void tw_blame_hold(struct tw_blame *blame)
{
	blame->held = 1;
	blame->held_loss = last(blame, EXCESS).loss;
	blame->excess = 0;
}

/* Of the share that @packets lose. */
static double variance(const struct tw_blame *blame, double share, double packets)
{
	share = clamp(share, SHARE_MIN, 1 - SHARE_MIN);
	return share * (1 - share) * clamp(blame->scatter, SCATTER_MIN, SCATTER_MAX) / packets;
}

static bool is_more(const struct tw_blame *blame, double loss)
{
	return loss > blame->base + MARGIN * (1 - blame->base);
}

static bool is_clear(const struct tw_blame *blame, double loss, double packets)
{
	double over = loss - blame->base;

	return is_more(blame, loss) && over * over > DOUBT * DOUBT * variance(blame, loss, packets);
}

/* How much better a rate that is let through explains the spans than a share that is lost. */
static double compare(const struct tw_blame *blame)
{
	double through = 0, sum = 0, share = last(blame, TW_BLAME_SPANS).loss;
	unsigned met = 0;

	for (unsigned i = 1; i <= kept(blame); i++) {
		if (!is_more(blame, back(blame, i)->loss))
			continue;
		through += back(blame, i)->got;
		met++;
	}
	if (met == 0)
		return 0;
	through /= met;
	for (unsigned i = 1; i <= kept(blame); i++) {
		const struct tw_blame_span *span = back(blame, i);
		double ours = clamp(1 - through / span->rate, blame->base, 1) - span->loss;
		double paths = share - span->loss;

		sum += (paths * paths - ours * ours) /
		       (variance(blame, share, span->packets) + BLUR * BLUR);
	}
	return sum;
}

static void learn(struct tw_blame *blame, double loss, unsigned spans)
{
	blame->known = true;
	blame->base = clamp(loss, 0, BASE_MOST);
	blame->learned = spans;
	blame->excess = blame->held = 0;
}

void tw_blame_guess(struct tw_blame *blame, double loss)
{
	blame->base = clamp(loss, 0, BASE_MOST);
	blame->learned = 1;
}

static void average(struct tw_blame *blame)
{
	double over;

	if (blame->learned < LEARNED_MOST)
		blame->learned++;
	over = back(blame, 1)->loss - blame->base;
	blame->base +=
		over / blame->learned / (over > 0 && blame->learned == LEARNED_MOST ? RISES : 1);
	blame->base = clamp(blame->base, 0, BASE_MOST);
}

/* More is lost, and it is not known yet what always is. */
static enum tw_blame_verdict first_verdict(struct tw_blame *blame)
{
	double better = compare(blame);

	if (better < -SURE) {
		learn(blame, last(blame, blame->excess).loss, blame->excess);
		return TW_BLAME_PATH;
	}
	if (better <= SURE && blame->excess < EXCESS + PATIENCE)
		return TW_BLAME_NONE;
	blame->known = true;
	return TW_BLAME_OURS;
}

static enum tw_blame_verdict judge(struct tw_blame *blame)
{
	const struct tw_blame_span recent = last(blame, EXCESS);
	double over = recent.loss - blame->base;
	bool clear = blame->count >= EXCESS &&
		     over * over > DOUBT * DOUBT * variance(blame, recent.loss, recent.packets);

	/* Few packets say little: what may be chance is averaged with the rest. */
	blame->excess = is_clear(blame, back(blame, 1)->loss, 2 * back(blame, 1)->packets)
				? blame->excess + 1
				: 0;
	if (blame->held > 0 && blame->held++ <= HELD_SPANS)
		return TW_BLAME_NONE;
	if (clear && over < 0) {
		learn(blame, recent.loss, EXCESS);
	} else if (blame->excess == 0) {
		average(blame);
		blame->known |= blame->learned >= EXCESS;
		blame->held = 0;
	} else if (clear && blame->excess >= EXCESS) {
		if (!blame->known)
			return first_verdict(blame);
		if (blame->held > 0 && recent.loss > HELD_KEPT * blame->held_loss &&
		    recent.loss * HELD_KEPT < blame->held_loss) {
			learn(blame, recent.loss, EXCESS);
			return TW_BLAME_PATH;
		}
		return TW_BLAME_OURS;
	}
	return TW_BLAME_NONE;
}

static void note_scatter(struct tw_blame *blame, const struct tw_rate_sample *sample)
{
	double packets = (double)(sample->acked_packets + sample->lost_packets);
	double total = (double)(blame->acked + blame->lost), share, over;

	if (packets < SCATTER_PACKETS || blame->packets < PACKETS_MIN)
		return;
	share = clamp((double)blame->lost / total, SHARE_MIN, 1 - SHARE_MIN);
	over = (double)sample->lost_packets - share * packets;
	over = over * over / (packets * share * (1 - share));
	blame->scatter += (clamp(over, 0, 4 * SCATTER_MAX) - blame->scatter) / SCATTER_WEIGHT;
}

enum tw_blame_verdict tw_blame_sample(struct tw_blame *blame, const struct tw_rate_sample *sample,
				      bool queued)
{
	tw_ns took = tw_ns_since(sample->now, blame->since);
	double span = (double)took / (double)TW_SECOND, total;
	bool usable;

	blame->acked += sample->acked_bytes;
	blame->lost += sample->lost_bytes;
	blame->packets += (double)(sample->acked_packets + sample->lost_packets);
	blame->queued |= queued;
	blame->spoiled |= queued || sample->app_limited;
	note_scatter(blame, sample);
	if (!sample->round_start || took < SPAN_MIN ||
	    (blame->packets < PACKETS_MIN && took < SPAN_MAX && !blame->spoiled))
		return TW_BLAME_NONE;
	total = 8 * (double)(blame->acked + blame->lost);
	usable = blame->skip == 0 && !blame->spoiled && total > 0;
	if (usable)
		blame->spans[blame->count++ % TW_BLAME_SPANS] = (struct tw_blame_span){
			.rate = total / span,
			.got = 8 * (double)blame->acked / span,
			.loss = 8 * (double)blame->lost / total,
			.packets = blame->packets,
		};
	else
		blame->excess = blame->held = 0;
	if (blame->queued && total > 0)
		blame->spilled |= is_clear(blame, 8 * (double)blame->lost / total, blame->packets);
	blame->queued = false;
	if (blame->spoiled)
		blame->skip = 1;
	else if (blame->skip > 0)
		blame->skip--;
	blame->since = sample->now;
	blame->acked = blame->lost = 0;
	blame->packets = 0;
	blame->spoiled = false;
	return usable ? judge(blame) : TW_BLAME_NONE;
}
