"""Operations: the commands that operators invoke by hand."""
