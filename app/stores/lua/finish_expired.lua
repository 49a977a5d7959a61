-- finish_expired.lua: end the sessions of one user whose time is over, and tell of it
finish_expired()
return 1
