#include "engine/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tw_files_work {
	struct tw_pool_job job;          /* first */
	struct tw_files_request request; /* owned copies */
	struct tw_view *view;            /* a reference */
	void (*done)(void *context, struct tw_files_result *result);
	void *context;
	struct tw_files_result result;
};

static void free_work(struct tw_files_work *work)
{
	for (size_t i = 0; work->request.paths && i < work->request.path_count; i++)
		free((char *)work->request.paths[i]);
	free((void *)work->request.paths);
	free((char *)work->request.path);
	free((char *)work->request.to);
	tw_view_drop(work->view);
	tw_files_result_deinit(&work->result);
	free(work);
}

static bool work_cancelled(void *context)
{
	struct tw_files_work *work = context;

	return tw_pool_cancelled(&work->job);
}

static void work_run(struct tw_pool_job *job)
{
	struct tw_files_work *work = (struct tw_files_work *)job;

	tw_view_files_run(work->view, &work->request, work_cancelled, work, &work->result);
}

static void work_done(struct tw_pool_job *job)
{
	struct tw_files_work *work = (struct tw_files_work *)job;

	if (!tw_pool_ran(job))
		work->result.error = -ECANCELED;
	work->done(work->context, &work->result);
	free_work(work);
}

static int copy_text(const char *text, const char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

static int copy_request(const struct tw_files_request *request, struct tw_files_work *work)
{
	const char **paths = NULL;
	int r;

	work->request = *request;
	work->request.path = work->request.to = NULL;
	work->request.paths = NULL;
	work->request.path_count = 0;
	r = copy_text(request->path, &work->request.path);
	if (!r)
		r = copy_text(request->to, &work->request.to);
	if (!r && request->paths) {
		paths = calloc(request->path_count + 1, sizeof(*paths));
		r = paths ? 0 : -ENOMEM;
		work->request.paths = paths;
	}
	for (size_t i = 0; !r && paths && i < request->path_count; i++) {
		r = copy_text(request->paths[i], &paths[i]);
		work->request.path_count += r == 0;
	}
	return r;
}

int tw_files_start(struct tw_pool *pool, struct tw_view *view,
		   const struct tw_files_request *request,
		   void (*done)(void *context, struct tw_files_result *result), void *context,
		   struct tw_files_work **ret)
{
	struct tw_files_work *work = calloc(1, sizeof(*work));
	int r;

	if (!work)
		return -ENOMEM;
	work->view = tw_view_hold(view);
	work->job.run = work_run;
	work->job.done = work_done;
	work->job.owner = tw_pool_owner(tw_view_user(view));
	work->done = done;
	work->context = context;
	r = copy_request(request, work);
	if (r) {
		free_work(work);
		return r;
	}
	*ret = work;
	tw_pool_submit(pool, &work->job);
	return 0;
}

void tw_files_stop(struct tw_files_work *work)
{
	tw_pool_cancel(&work->job);
}
