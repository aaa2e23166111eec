/* Frees twice: for tools/lint. */
#include <stdlib.h>

void tw_planted(void *bytes);

void tw_planted(void *bytes)
{
	free(bytes);
	free(bytes);
}
