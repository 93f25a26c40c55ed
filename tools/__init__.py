"""Programs that build, check and test mq; none of them is shipped."""
