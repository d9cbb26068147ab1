import { connectExternalBroker } from '../../controller/broker/external-broker.ts'
import { cleanUpWith, startBroker, tcpUrl } from '../controller/broker/broker-fixture.ts'
import { brokerContract } from './broker.contract.ts'

brokerContract('embedded broker', async () => {
  const broker = await startBroker()
  return { broker, port: broker.tcpPort }
})

// A second embedded broker plays the one that runs elsewhere.
brokerContract('external broker', async () => {
  const elsewhere = await startBroker()
  const broker = await connectExternalBroker({
    url: tcpUrl(elsewhere),
    clientId: 'controller-1',
    username: 'controller',
    password: 'secret',
  })
  cleanUpWith(() => broker.close())
  return { broker, port: elsewhere.tcpPort }
})
