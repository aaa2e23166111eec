/* Divides by nothing: for tools/lint. */
int tw_planted(int count);

int tw_planted(int count)
{
	int nothing = 0;

	return count / nothing;
}
