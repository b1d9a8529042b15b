#include "client/limits.h"

int poolite__take_limits(struct poolite *handle, struct poolite__reply *reply,
    struct poolite__hello *limits, struct poolite__failure *failure)
{
	if (poolite__reply_outcome(reply, failure))
		return failure->code;
	if (poolite__read_hello_result(&reply->answer.result, limits))
		return poolite__reply_nonsense(reply->effect, failure);
	if (limits->max_frame_bytes <= 0)
		limits->max_frame_bytes = (int64_t)POOLITE__FRAME_BYTES_DEFAULT;
	if (limits->max_values <= 0)
		limits->max_values = POOLITE__VALUES_DEFAULT;
	pthread_mutex_lock(&handle->lock);
	handle->limits = *limits;
	handle->has_limits = true;
	pthread_mutex_unlock(&handle->lock);
	return 0;
}

int poolite__get_limits(struct poolite *handle, struct poolite_tx *tx,
    struct poolite__hello *limits, struct poolite__failure *failure)
{
	struct poolite__call call;
	bool is_known;
	int packed;

	pthread_mutex_lock(&handle->lock);
	is_known = handle->has_limits;
	*limits = handle->limits;
	pthread_mutex_unlock(&handle->lock);
	if (is_known)
		return 0;
	poolite__call_init(&call, handle, tx ? POOLITE__INSIDE : POOLITE__HARMLESS);
	packed = poolite__pack_bare_request(&call.request, call.msgid, POOLITE__HELLO);
	if (poolite__call_run(&call, handle, tx, packed, failure) == 0)
		poolite__take_limits(handle, &call.reply, limits, failure);
	poolite__call_release(&call);
	return failure->code;
}
