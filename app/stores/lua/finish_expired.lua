-- finish_expired.lua: end the sessions of one user whose time is over, and tell of it; forget what ended long ago
finish_expired()
forget()
return 1
