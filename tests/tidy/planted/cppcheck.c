/* Writes behind an array: for tools/lint. */
int tw_planted(void);

int tw_planted(void)
{
	int numbers[4] = { 0 };

	numbers[4] = 1;
	return numbers[0];
}
