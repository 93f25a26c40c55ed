"""What tests of mq and of programs that use it are made with."""
