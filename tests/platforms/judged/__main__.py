from tests.platforms.judged import main

main()
